/* What a gateway reads beside its policy: all of it or nothing, every problem told, and secrets
 * read again while it runs. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/trust.h"
#include "policy/config_text.h"

static char dir[64];
static uint64_t clock_ns;

static uint64_t now(void *user)
{
    (void)user;
    return clock_ns;
}

/* ---- an embedder that gives files and runs commands ---- */

struct embedder {
    unsigned opened, run;
    int commands[8]; /* the ends that their outcomes are written to */
    int refusal;     /* what both answer instead; 0: nothing */
};

static int open_file(void *user, const char *path)
{
    struct embedder *embedder = user;
    embedder->opened++;
    if (embedder->refusal < 0) {
        return embedder->refusal;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static void end_command(struct embedder *embedder, unsigned number, int32_t code, const char *text)
{
    int fd = embedder->commands[number];
    assert_int_equal(write(fd, &code, sizeof(code)), sizeof(code));
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* The first is waited for, and so ends at once. */
static int run_command(void *user, const char *command)
{
    struct embedder *embedder = user;
    int pair[2];
    (void)command;
    if (embedder->refusal < 0) {
        return embedder->refusal;
    }
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    embedder->commands[embedder->run++] = pair[1];
    if (embedder->run == 1) {
        end_command(embedder, 0, 0, "first-value\n");
    }
    return pair[0];
}

/* ---- set-up ---- */

static const char *in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_dir(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    (void)state;
    clock_ns = 1000 * SECOND_NS;
    strcpy(dir, "/tmp/lunette-trust-XXXXXX");
    assert_non_null(mkdtemp(dir));
    unsetenv("SSL_CERT_FILE");
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* A policy; "%s" stands for the directory. */
static ln_policy *policy_of(const char *format)
{
    char config[4096];
    struct arena arena = {0};
    ln_policy *policy = NULL;
    ln_problems *problems = ln_problems_new();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(config, sizeof(config), format, dir, dir, dir, dir);
#pragma GCC diagnostic pop
    struct ln_value value = config_parse(&arena, "p.lua", config);
    if (ln_policy_new(&value, NULL, &policy, problems) != 0) {
        char line[1024];
        ln_problem_format(ln_problems_get(problems, 0), line, sizeof(line));
        fail_msg("%s", line);
    }
    ln_problems_free(problems);
    arena_free(&arena);
    return policy;
}

struct gateway {
    struct loop loop;
    struct events events;
    struct embedder embedder;
    ln_files files;
    struct trust *trust;
    unsigned told;
    char why[256]; /* the last that was told; "": it was read */
    ln_error error;
};

static int tell(void *user, const ln_event *event)
{
    struct gateway *gw = user;
    assert_int_equal(event->kind, LN_EVENT_RELOAD);
    assert_string_equal(event->name, "A");
    assert_string_equal(event->reason, event->detail == NULL ? "secret" : "secret_failed");
    gw->told++;
    snprintf(gw->why, sizeof(gw->why), "%s", event->detail == NULL ? "" : event->detail);
    return 0;
}

/* Returns what trust_new() does. */
static int begin(struct gateway *gw, const char *config, bool by_embedder)
{
    const struct host_services services = {.now_ns = now, .random = host_services_system.random};
    *gw = (struct gateway){.files = {.size = sizeof(ln_files),
                                     .user = &gw->embedder,
                                     .open = open_file,
                                     .run = run_command}};
    gw->events = (struct events){.sink = tell, .user = gw};
    assert_int_equal(loop_init(&gw->loop, &services), 0);
    ln_policy *policy = policy_of(config);
    ln_config with = {
        .policy = policy, .data_dir = in_dir("data"), .files = by_embedder ? &gw->files : NULL};
    int r = trust_new(&gw->loop, &gw->events, &with, &gw->trust, &gw->error);
    ln_policy_unref(policy);
    return r;
}

static void end(struct gateway *gw)
{
    gw->trust = trust_free(gw->trust);
    loop_fini(&gw->loop);
}

static void pass(struct gateway *gw, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        clock_ns += SECOND_NS;
        assert_true(loop_dispatch(&gw->loop, 0) >= 0);
        trust_tick(gw->trust);
    }
    assert_true(loop_dispatch(&gw->loop, 0) >= 0);
}

static int reload(struct gateway *gw, const char *config)
{
    struct trust_change *change;
    ln_policy *policy = policy_of(config);
    int r = trust_prepare(gw->trust, policy, &change, &gw->error);
    if (r == 0) {
        trust_commit(gw->trust, change);
    }
    ln_policy_unref(policy);
    return r;
}

struct seen {
    unsigned count;
    char placeholder[128], failure[160];
    uint64_t age_ms;
};

static void see(void *user, const ln_secret_status *status)
{
    struct seen *seen = user;
    seen->count++;
    seen->age_ms = status->age_ms;
    snprintf(seen->placeholder, sizeof(seen->placeholder), "%s", status->placeholder);
    snprintf(seen->failure, sizeof(seen->failure), "%s",
             status->failure == NULL ? "" : status->failure);
}

static struct seen look(const struct gateway *gw)
{
    struct seen seen = {0};
    trust_secrets(gw->trust, see, &seen);
    return seen;
}

/* How the secrets of these tests end. */
#define GOES "allow_hosts = {\"a.example\"}, require_tls = false}"

/* ---- reading ---- */

static void test_every_source_is_read(void **state)
{
    struct gateway gw;
    (void)state;
    setenv("LUNETTE_TEST_SECRET", "from-env-1", 1);
    write_file("secret", "from-file-1\r\n");
    static const char config[] = "{secrets = {{env = \"A\", value = \"given-value\", " GOES ","
                                 "{env = \"B\", from_env = \"LUNETTE_TEST_SECRET\", " GOES ","
                                 "{env = \"C\", from_file = \"%s/secret\", " GOES ","
                                 "{env = \"D\", command = \"printf '%%s' by-command\", " GOES "}}";
    assert_int_equal(begin(&gw, config, false), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_true(vault_has_value(trust_vault(gw.trust), i));
    }
    assert_int_equal(look(&gw).count, 4);
    assert_null(trust_ca(gw.trust));
    assert_null(trust_roots(gw.trust, "a.example"));
    assert_int_equal(access(in_dir("data"), F_OK), -1); /* without `tls` no CA is made */
    end(&gw);
}

static void expect_in(const ln_error *error, const char *text)
{
    if (strstr(error->message, text) == NULL) {
        fail_msg("\"%s\" is not in: %s", text, error->message);
    }
}

static void test_all_problems_are_told_at_once(void **state)
{
    struct gateway gw;
    (void)state;
    unsetenv("LUNETTE_TEST_SECRET");
    write_file("lines", "two\nlines\n");
    static const char config[] =
        "{secrets = {{env = \"A\", from_env = \"LUNETTE_TEST_SECRET\", " GOES ","
        "{env = \"B\", from_file = \"%s/none\", " GOES ","
        "{env = \"C\", from_file = \"%s/lines\", " GOES ","
        "{env = \"D\", command = \"echo hid''den; exit 3\", " GOES "}}";
    assert_int_equal(begin(&gw, config, false), -EINVAL);
    expect_in(&gw.error, "secrets[1].from_env: the variable is not in lunette's environment: found "
                         "\"LUNETTE_TEST_SECRET\"");
    expect_in(&gw.error, "secrets[2].from_file: No such file or directory");
    expect_in(&gw.error, "; line 1: secrets[3].from_file: ");
    expect_in(&gw.error, "; line 1: secrets[4].command: the command failed with exit status 3");
    assert_null(strstr(gw.error.message, "two"));
    assert_null(strstr(gw.error.message, "hidden"));
    loop_fini(&gw.loop);
}

static void test_a_given_ca_must_be_a_pair(void **state)
{
    struct gateway gw;
    (void)state;
    write_file("ca.pem", "no certificate");
    assert_int_equal(begin(&gw,
                           "{tls = {ca_cert = \"%s/ca.pem\", ca_key = \"%s/none.pem\","
                           " upstream_ca_certs = {\"%s/ca.pem\"}}}",
                           false),
                     -EINVAL);
    expect_in(&gw.error, "tls.ca_key: No such file or directory");
    expect_in(&gw.error, "tls.upstream_ca_certs[1]: ");
    loop_fini(&gw.loop);
}

static void test_the_ca_is_made_and_stays(void **state)
{
    struct gateway gw;
    (void)state;
    assert_int_equal(begin(&gw, "{tls = {}}", false), 0);
    char *ca = strdup(trust_ca(gw.trust));
    assert_non_null(strstr(ca, "BEGIN CERTIFICATE"));
    struct tls_authority *authority = trust_authority(gw.trust);
    assert_int_equal(reload(&gw, "{tls = {verify_upstream = false}}"), 0);
    assert_ptr_equal(trust_authority(gw.trust), authority);
    assert_int_equal(reload(&gw, "{}"), 0); /* intercepts nothing any more */
    assert_int_equal(reload(&gw, "{tls = {}}"), 0);
    assert_ptr_equal(trust_authority(gw.trust), authority);
    assert_int_equal(reload(&gw, "{tls = {ca_cert = \"%s/a\", ca_key = \"%s/b\"}}"), -EINVAL);
    expect_in(&gw.error, "tls.ca_cert: the guest was told to trust another CA");
    assert_string_equal(trust_ca(gw.trust), ca);
    end(&gw);
    assert_int_equal(begin(&gw, "{tls = {}}", false), 0);
    assert_string_equal(trust_ca(gw.trust), ca);
    free(ca);
    end(&gw);
}

static void test_a_guest_that_runs_is_not_told_to_trust_a_ca(void **state)
{
    struct gateway gw;
    (void)state;
    assert_int_equal(begin(&gw, "{}", true), 0);
    assert_int_equal(reload(&gw, "{tls = {}}"), -EINVAL);
    expect_in(&gw.error, "tls: the guest was not told to trust a CA: start lunette again");
    end(&gw);
}

static void test_patterns_choose_the_longest(void **state)
{
    struct gateway gw;
    (void)state;
    assert_int_equal(
        begin(&gw,
              "{tls = {verify_upstream_for = {[\"*.example\"] = false, [\"*.a.example\"] = true,"
              " [\"b.a.example\"] = false}}}",
              false),
        0);
    assert_true(trust_verifies(gw.trust, NULL));
    assert_true(trust_verifies(gw.trust, "example"));
    assert_false(trust_verifies(gw.trust, "a.example"));
    assert_true(trust_verifies(gw.trust, "c.a.example"));
    assert_false(trust_verifies(gw.trust, "b.a.example"));
    assert_true(trust_verifies(gw.trust, "c.b.a.example"));
    assert_true(trust_verifies(gw.trust, "notexample"));
    end(&gw);
}

/* ---- reading again ---- */

#define BY_COMMAND                                                                                 \
    "{secrets = {{env = \"A\", command = \"x\", refresh_s = 60, allow_hosts = {\"a.example\"},"    \
    " require_tls = false}}}"

static void test_a_command_is_run_again_when_due(void **state)
{
    struct gateway gw;
    (void)state;
    assert_int_equal(begin(&gw, BY_COMMAND, true), 0);
    struct seen first = look(&gw);
    pass(&gw, 59);
    assert_int_equal(gw.embedder.run, 1);
    pass(&gw, 1);
    assert_int_equal(gw.embedder.run, 2);
    pass(&gw, 200); /* as long as it runs, it is not run again */
    assert_int_equal(gw.embedder.run, 2);
    assert_int_equal(gw.told, 0);
    assert_int_equal(look(&gw).age_ms, 260000);
    end_command(&gw.embedder, 1, 0, "second-value\n");
    pass(&gw, 0);
    assert_int_equal(gw.told, 1);
    assert_string_equal(gw.why, "");
    assert_int_equal(look(&gw).age_ms, 0);
    assert_string_equal(look(&gw).placeholder, first.placeholder);
    pass(&gw, 60);
    assert_int_equal(gw.embedder.run, 3);
    close(gw.embedder.commands[2]);
    end(&gw);
}

static void test_after_a_failure_the_value_before_stays(void **state)
{
    struct gateway gw;
    (void)state;
    assert_int_equal(begin(&gw, BY_COMMAND, true), 0);
    pass(&gw, 60);
    end_command(&gw.embedder, 1, 7, "");
    pass(&gw, 0);
    assert_string_equal(gw.why, "the command failed with exit status 7");
    assert_string_equal(look(&gw).failure, gw.why);
    assert_int_equal(look(&gw).age_ms, 60000);
    assert_true(vault_has_value(trust_vault(gw.trust), 0));
    pass(&gw, 30);
    assert_int_equal(gw.embedder.run, 3);
    end_command(&gw.embedder, 2, 0, "two\nlines\n");
    pass(&gw, 0);
    assert_int_equal(gw.told, 2);
    assert_true(look(&gw).failure[0] != '\0');
    gw.embedder.refusal = -EAGAIN;
    pass(&gw, 30);
    assert_int_equal(gw.told, 3);
    gw.embedder.refusal = 0;
    pass(&gw, 30);
    end_command(&gw.embedder, 3, 0, "good-value");
    pass(&gw, 0);
    assert_string_equal(look(&gw).failure, "");
    assert_int_equal(look(&gw).age_ms, 0);
    end(&gw);
}

static void test_a_file_is_read_again_when_due(void **state)
{
    struct gateway gw;
    (void)state;
    write_file("token", "first-token\n");
    assert_int_equal(begin(&gw,
                           "{secrets = {{env = \"A\", from_file = \"%s/token\", refresh_s = 5,"
                           " allow_hosts = {\"a.example\"}, require_tls = false}}}",
                           true),
                     0);
    pass(&gw, 5);
    assert_int_equal(gw.embedder.opened, 2);
    assert_int_equal(unlink(in_dir("token")), 0);
    pass(&gw, 5);
    assert_string_equal(gw.why, "No such file or directory");
    assert_true(vault_has_value(trust_vault(gw.trust), 0));
    end(&gw);
}

static void test_a_reload_waits_for_no_command_that_is_known(void **state)
{
    struct gateway gw;
    (void)state;
    assert_int_equal(begin(&gw, BY_COMMAND, true), 0);
    struct seen first = look(&gw);
    pass(&gw, 10);
    assert_int_equal(reload(&gw, BY_COMMAND), 0);
    assert_true(vault_has_value(trust_vault(gw.trust), 0));
    assert_string_equal(look(&gw).placeholder, first.placeholder);
    assert_int_equal(look(&gw).age_ms, 10000);
    assert_int_equal(gw.embedder.run, 2); /* it runs, and nobody waits */
    end_command(&gw.embedder, 1, 0, "second-value");
    pass(&gw, 0);
    assert_int_equal(look(&gw).age_ms, 0);
    end(&gw);
}

static void test_a_reload_that_fails_changes_nothing(void **state)
{
    struct gateway gw;
    (void)state;
    write_file("token", "a-token");
    static const char before[] = "{secrets = {{env = \"A\", from_file = \"%s/token\", " GOES "}}";
    static const char after[] = "{secrets = {{env = \"A\", value = \"other-value\", " GOES ","
                                "{env = \"B\", from_file = \"/etc/passwd\", " GOES "}}";
    assert_int_equal(begin(&gw, before, true), 0);
    struct vault *vault = trust_vault(gw.trust);
    gw.embedder.refusal = -EPERM;
    assert_int_equal(reload(&gw, after), -EINVAL);
    expect_in(&gw.error,
              "secrets[2].from_file: only what the policy named when lunette started may "
              "be read");
    assert_ptr_equal(trust_vault(gw.trust), vault);
    assert_int_equal(look(&gw).count, 1);
    end(&gw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_every_source_is_read),
        TEST(test_all_problems_are_told_at_once),
        TEST(test_a_given_ca_must_be_a_pair),
        TEST(test_the_ca_is_made_and_stays),
        TEST(test_a_guest_that_runs_is_not_told_to_trust_a_ca),
        TEST(test_patterns_choose_the_longest),
        TEST(test_a_command_is_run_again_when_due),
        TEST(test_after_a_failure_the_value_before_stays),
        TEST(test_a_file_is_read_again_when_due),
        TEST(test_a_reload_waits_for_no_command_that_is_known),
        TEST(test_a_reload_that_fails_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
