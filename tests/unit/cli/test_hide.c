/* Which sockets are found to be hidden; run_test.sh shows that they are. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/hide.h"

static char dir[] = "/tmp/lunette-hide-XXXXXX";

static int enter(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

static int bound(const char *name, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, name);
    int fd = socket(AF_UNIX, type, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int connected(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static size_t count(const struct paths *paths, const char *name)
{
    char path[128];
    size_t found = 0;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    for (size_t i = 0; i < paths->count; i++) {
        found += strcmp(paths->items[i], path) == 0;
    }
    return found;
}

static void test_bound_sockets_are_found_once_each(void **state)
{
    (void)state;
    struct hide hide = {0};
    int listener = bound("name with spaces", SOCK_STREAM);
    int datagram = bound("datagram", SOCK_DGRAM);
    assert_int_equal(listen(listener, 4), 0);
    int client = connected("name with spaces");
    int server = accept(listener, NULL, NULL); /* bears the listener's name too */
    assert_int_equal(hide_collect(&hide), 0);
    assert_int_equal(count(&hide.sockets, "name with spaces"), 1);
    assert_int_equal(count(&hide.sockets, "datagram"), 1);
    hide_free(&hide);
    close(server);
    close(client);
    close(listener);
    close(datagram);
    unlink("name with spaces");
    unlink("datagram");
}

static void test_names_that_are_sockets_no_longer_are_left_out(void **state)
{
    (void)state;
    struct hide hide = {0};
    int fd = bound("replaced", SOCK_STREAM);
    unlink("replaced");
    close(open("replaced", O_CREAT | O_WRONLY, 0600));
    assert_int_equal(hide_collect(&hide), 0);
    assert_int_equal(count(&hide.sockets, "replaced"), 0);
    hide_free(&hide);
    close(fd);
    unlink("replaced");
}

static void test_sockets_that_the_environment_names_are_found(void **state)
{
    (void)state;
    static const char *const forms[][2] = {
        {"SSH_AUTH_SOCK", "%s/agent"},
        {"DOCKER_HOST", "unix://%s/agent"},
        {"DBUS_SESSION_BUS_ADDRESS", "unix:path=%s/agent,guid=0123;tcp:host=x"},
    };
    /* Nobody owns it any more, so that no table lists it. */
    close(bound("agent", SOCK_STREAM));
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct hide hide = {0};
        char *value;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        assert_true(asprintf(&value, forms[i][1], dir) > 0);
#pragma GCC diagnostic pop
        assert_int_equal(hide_collect(&hide), 0);
        assert_int_equal(count(&hide.sockets, "agent"), 0);
        hide_free(&hide);
        setenv(forms[i][0], value, 1);
        assert_int_equal(hide_collect(&hide), 0);
        assert_int_equal(count(&hide.sockets, "agent"), 1);
        hide_free(&hide);
        unsetenv(forms[i][0]);
        free(value);
    }
    unlink("agent");
}

static void test_paths_to_hide_must_exist_and_paths_to_show_need_not(void **state)
{
    (void)state;
    struct hide hide = {0};
    assert_int_equal(hide_cover(&hide, "missing"), -ENOENT);
    assert_int_equal(hide_show(&hide, "/missing"), 0);
    assert_int_equal(hide_show(&hide, "missing"), -ENOENT); /* of which directory? */
    close(open("file", O_CREAT | O_WRONLY, 0600));
    assert_int_equal(hide_cover(&hide, "file"), 0);
    assert_int_equal(count(&hide.covered, "file"), 1);
    hide_free(&hide);
    unlink("file");
}

int main(void)
{
    static const char *const names[] = {"SSH_AUTH_SOCK", "DOCKER_HOST", "CONTAINER_HOST",
                                        "DBUS_SESSION_BUS_ADDRESS", "NOTIFY_SOCKET"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unsetenv(names[i]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound_sockets_are_found_once_each),
        cmocka_unit_test(test_names_that_are_sockets_no_longer_are_left_out),
        cmocka_unit_test(test_sockets_that_the_environment_names_are_found),
        cmocka_unit_test(test_paths_to_hide_must_exist_and_paths_to_show_need_not),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
