--- The policies with credentials, against servers under the names that they are about.

local lab = require "tests.lab.lab"

local NAMES = { "github.com", "api.github.com", "api.anthropic.com", "gitlab.com", "pypi.org" }
local ADDRESS = "192.0.2.77" -- a host of its own, where port 443 is free
local SERVER = [[
import ssl, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with open(sys.argv[1] + "/requests", "a") as f:
            f.write("%s %s%s %s\n" % (self.command, self.headers["Host"], self.path, self.headers.get("Authorization")
                    or self.headers.get("X-Api-Key") or self.headers.get("Private-Token")))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")
    do_GET = do_POST = do_PUT = do_DELETE = answer
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("192.0.2.77", 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/forges.pem", sys.argv[1] + "/forges.key")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
open(sys.argv[1] + "/forges.ready", "w").close()
server.serve_forever()
]]

--- Runs a command behind a policy of policies/, with the lab's CA and these names, and the variables.
local function guest(policy, variables, command)
  lab.host "rm -f $LAB/requests; mkdir -p $LAB/policies; cp policies/*.lua $LAB/policies"
  local hosts = {}
  for _, name in ipairs(NAMES) do hosts[#hosts + 1] = ("[%q] = %q"):format(name, ADDRESS) end
  local path = ("%s/policies/in-lab.lua"):format(lab.dir)
  local file = assert(io.open(path, "w"))
  file:write(([[local policy = require %q
policy.tls.upstream_ca_certs = { "%s/ca.pem" }
policy.dns = { hosts = { %s } }
return policy
]]):format(policy, lab.dir, table.concat(hosts, ", ")))
  file:close()
  local events = lab.dir .. "/policies/events"
  local result = lab.host(("%s %s run --events %s %s -- sh -c %s"):format(variables, lab.lunette, events, path,
    lab.quote(command)))
  result.requests = lab.host("cat $LAB/requests 2>/dev/null").out
  result.recording = lab.host("cat " .. events).out
  return result
end

local function count(text, pattern) return select(2, text:gsub(pattern, "")) end

setup(function()
  local names = {}
  for _, name in ipairs(NAMES) do names[#names + 1] = "DNS:" .. name end
  local path = lab.file(".py", SERVER)
  local made = lab.host(([[set -e
    ip netns add forges
    ip link add forges0 type veth peer name eth0 netns forges
    ip link set forges0 up
    ip route add %s dev forges0
    ip -n forges addr add %s dev eth0
    ip -n forges link set eth0 up
    ip -n forges route add default dev eth0
    cd $LAB
    echo 'subjectAltName=%s' >forges.ext
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout forges.key -out forges.csr -subj /CN=forges
    openssl x509 -req -in forges.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile forges.ext \
      -out forges.pem]]):format(ADDRESS, ADDRESS, table.concat(names, ",")))
  assert(made.status == 0, made.err)
  os.execute(("ip netns exec forges env -u LD_PRELOAD /usr/bin/python3 %s $LAB &"):format(path))
  local ready = lab.host "for _ in $(seq 300); do [ -e $LAB/forges.ready ] && exit 0; sleep 0.1; done; exit 1"
  assert(ready.status == 0, "the server did not start")
end)

describe("coding-agent-tokens", function()
  local VARIABLES = "GITHUB_TOKEN=the-token-of-github ANTHROPIC_API_KEY=the-key-of-the-model REPOSITORY=me/mine"

  it("puts credentials into requests to their hosts, and refuses what the rules do not allow", function()
    local result = guest("coding-agent-tokens", VARIABLES, [[
      curl -sS -H "Authorization: Bearer $GITHUB_TOKEN" https://api.github.com/repos/a/b
      curl -sS -u "x-access-token:$GITHUB_TOKEN" -d pack https://github.com/me/mine.git/git-receive-pack
      curl -sS -H "X-Api-Key: $ANTHROPIC_API_KEY" -d '{}' https://api.anthropic.com/v1/messages
      curl -sS -w '%{http_code}\n' -X DELETE -H "Authorization: Bearer $GITHUB_TOKEN" https://api.github.com/repos/a/b
      curl -sS -o /dev/null -w '%{http_code}\n' -d pack https://github.com/me/other.git/git-receive-pack
      env | grep -c the-]])
    assert.equal("GET api.github.com/repos/a/b Bearer the-token-of-github\n" ..
      "POST github.com/me/mine.git/git-receive-pack Basic " ..
      lab.host("printf x-access-token:the-token-of-github | base64 -w 0").out .. "\n" ..
      "POST api.anthropic.com/v1/messages the-key-of-the-model\n", result.requests, result.err)
    assert.matches("^ok\nok\nok\nrefused by lunette\nlayer: http\n", result.out, result.err)
    assert.matches("method: DELETE\npath: /repos/a/b\n.*next step: .*403\n403\n0\n$", result.out)
    assert.equal(0, count(result.recording, "the%-token%-of%-github"))
  end)

  it("stops a token on its way to another host, and passes packages on untouched", function()
    local result = guest("coding-agent-tokens", VARIABLES, [[
      curl -sS -w '%{http_code}\n' -d "$GITHUB_TOKEN" https://api.anthropic.com/v1/messages
      curl -sS -H "X-Api-Key: $GITHUB_TOKEN" https://api.anthropic.com/v1/messages >/dev/null
      curl -sS --cacert $LAB/ca.pem -H "X-Api-Key: $GITHUB_TOKEN" https://pypi.org/simple/]])
    assert.matches("secret: GITHUB_TOKEN\n.*403\nok\n$", result.out, result.err)
    assert.matches("^GET pypi.org/simple/ %$LUNETTE_GITHUB_TOKEN_%w+\n$", result.requests)
    assert.equal(2, count(result.recording, '"kind":"secret_violation"'))
    assert.equal(1, count(result.recording, '"kind":"tls_bypassed"'))
  end)
end)

describe("ci-publish", function()
  local PACKAGES = "https://gitlab.com/api/v4/projects/1234/packages/generic"

  it("publishes its package, and no other", function()
    local result = guest("ci-publish", "PACKAGE_TOKEN=the-token-of-packages", ([[
      for target in my-tool/1.2.0/tool other/1.2.0/tool my-tool/../other/tool; do
        curl -sS -o /dev/null -w '%%{http_code}\n' --path-as-is -H "PRIVATE-TOKEN: $PACKAGE_TOKEN" -T /etc/hostname \
          %s/$target
      done]]):format(PACKAGES))
    assert.equal("200\n403\n403\n", result.out, result.err)
    assert.equal("PUT gitlab.com/api/v4/projects/1234/packages/generic/my-tool/1.2.0/tool the-token-of-packages\n",
      result.requests)
  end)
end)
