/* Slots: taken once, given back however a process ends, never of this machine's addresses; and
 * which directories are good for their locks. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/slot.h"
#include "net/netns.h"

struct place {
    char path[64];
    int dir;
};

static struct place place_new(void)
{
    struct place place = {.path = "/tmp/lunette-slot-XXXXXX"};
    assert_non_null(mkdtemp(place.path));
    place.dir = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(place.dir >= 0);
    return place;
}

static void place_free(struct place *place)
{
    char command[96];
    close(place->dir);
    snprintf(command, sizeof(command), "rm -r %s", place->path);
    assert_int_equal(system(command), 0);
}

static ln_settings settings_of(const char *pool4, const char *pool6)
{
    ln_settings settings = {0};
    assert_int_equal(ln_prefix_parse(pool4, strlen(pool4), &settings.ipv4_pool), 0);
    assert_int_equal(ln_prefix_parse(pool6, strlen(pool6), &settings.ipv6_pool), 0);
    return settings;
}

static int take(const struct place *place, const ln_settings *settings, uint32_t wanted)
{
    uint32_t slot = 0;
    int fd = slot_take(place->dir, settings, &slot, NULL);
    assert_true(fd >= 0);
    assert_int_equal(slot, wanted);
    return fd;
}

static void test_each_is_taken_once_up_to_the_pools_end(void **state)
{
    struct place place = place_new();
    ln_settings settings = settings_of("198.51.100.0/28", "2001:db8::/48");
    uint32_t slot = 7;
    int fds[3];
    ln_error error;
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        fds[i] = take(&place, &settings, i + 1);
    }
    assert_int_equal(slot_take(place.dir, &settings, &slot, &error), -ENOSPC);
    assert_non_null(strstr(error.message, "ipv4_pool"));
    assert_int_equal(slot, 7);
    close(fds[1]);
    close(take(&place, &settings, 2));
    close(fds[0]);
    close(fds[2]);
    settings = settings_of("198.51.100.0/24", "2001:db8::/64");
    assert_int_equal(slot_take(place.dir, &settings, &slot, &error), -ENOSPC);
    assert_non_null(strstr(error.message, "ipv6_pool"));
    place_free(&place);
}

static void test_killed_process_gives_its_slot_back(void **state)
{
    struct place place = place_new();
    ln_settings settings = settings_of("198.51.100.0/24", "2001:db8::/48");
    int ready[2];
    char byte;
    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        uint32_t slot;
        bool taken = slot_take(place.dir, &settings, &slot, NULL) >= 0 && slot == 1;
        (void)!write(ready[1], taken ? "y" : "n", 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(take(&place, &settings, 2));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(take(&place, &settings, 1));
    close(ready[0]);
    close(ready[1]);
    place_free(&place);
}

static void test_machines_own_addresses_are_left_alone(void **state)
{
    struct place place = place_new();
    ln_settings settings = settings_of("192.0.2.0/24", "2001:db8:1::/48");
    (void)state;
    assert_true(netns_enter());
    close(take(&place, &settings, 1));
    assert_true(netns_run("ip addr add 192.0.2.5/32 dev lo"));
    close(take(&place, &settings, 2));
    assert_true(netns_run("ip addr add 2001:db8:1:2::9/128 dev lo nodad"));
    close(take(&place, &settings, 3));
    place_free(&place);
}

static void test_slots_by_number_are_shared_and_not_taken(void **state)
{
    struct place place = place_new();
    ln_settings settings = settings_of("198.51.100.0/24", "2001:db8::/48");
    (void)state;
    int one = slot_share(place.dir, 1), again = slot_share(place.dir, 1);
    assert_true(one >= 0 && again >= 0);
    int two = take(&place, &settings, 2);
    assert_int_equal(slot_share(place.dir, 2), -EWOULDBLOCK);
    close(one);
    close(again);
    close(two);
    place_free(&place);
}

static void test_what_is_no_file_of_ours_counts_as_taken(void **state)
{
    struct place place = place_new();
    ln_settings settings = settings_of("198.51.100.0/24", "2001:db8::/48");
    (void)state;
    assert_int_equal(symlinkat("/etc/passwd", place.dir, "slot-1"), 0);
    assert_int_equal(mkfifoat(place.dir, "slot-2", 0600), 0);
    assert_int_equal(mkdirat(place.dir, "slot-3", 0700), 0);
    close(take(&place, &settings, 4));
    place_free(&place);
}

/* As a user without privileges: one is left where there is one. */
static void test_directory_of_others_is_not_used(void **state)
{
    struct place place = place_new();
    char path[96], own[64];
    ln_error error;
    (void)state;
    assert_int_equal(chmod(place.path, 0777), 0);
    bool root = geteuid() == 0;
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    snprintf(own, sizeof(own), "/tmp/lunette-%u", (unsigned)geteuid());
    bool there = access(own, F_OK) == 0;
    assert_int_equal(setenv("XDG_RUNTIME_DIR", place.path, 1), 0);
    int fd = slot_open_dir(&error);
    assert_true(fd >= 0);
    close(fd);
    if (access("/run/lunette", W_OK) != 0) {
        struct stat st;
        snprintf(path, sizeof(path), "%s/lunette", place.path);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        assert_int_equal(chmod(path, 0770), 0); /* from here on, not only this user's */
        fd = slot_open_dir(&error);
        assert_true(fd >= 0);
        assert_int_equal(access(own, F_OK), 0);
        close(fd);
        if (!there) {
            assert_int_equal(rmdir(own), 0);
            assert_int_equal(symlink(place.path, own), 0);
            assert_true(slot_open_dir(&error) < 0);
            assert_non_null(strstr(error.message, own));
            assert_int_equal(unlink(own), 0);
        }
    }
    assert_int_equal(root ? seteuid(0) : 0, 0);
    place_free(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_taken_once_up_to_the_pools_end),
        cmocka_unit_test(test_killed_process_gives_its_slot_back),
        cmocka_unit_test(test_slots_by_number_are_shared_and_not_taken),
        cmocka_unit_test(test_what_is_no_file_of_ours_counts_as_taken),
        cmocka_unit_test(test_directory_of_others_is_not_used),
        cmocka_unit_test(test_machines_own_addresses_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
