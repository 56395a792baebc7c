/* json-schema-org/JSON-Schema-Test-Suite's files, for C tests (commit in test_schema.c). */
#ifndef SUITE_H
#define SUITE_H
#include "common/io/io.h"
#include "common/io/json.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* Of optional/format: those of the formats that the validator asserts. */
static const char *const suite_formats[] = {"date.json", "time.json", "date-time.json", "duration.json", "uuid.json", "email.json", "hostname.json", "ipv4.json",
                                            "ipv6.json", "uri.json", "uri-reference.json", "iri.json", "iri-reference.json", "uri-template.json", "json-pointer.json",
                                            "regex.json", NULL};

/* Its folder for draft 2020-12, or a skip where SUITES does not say. give. */
static char *suite_draft(void) {
    const char *suites = getenv("SUITES");
    if (!suites || !*suites) {
        print_message("SUITES is not set: no JSON-Schema-Test-Suite\n");
        skip();
    }
    return io_join(suites, "JSON-Schema-Test-Suite/tests/draft2020-12");
}

/* A schema with its tests. */
typedef void suite_group_fn(const char *file, const struct json *group, void *arg);

/* Every group of the .json files in dir, or of those named in `only` (up to NULL). */
static void suite_each(const char *dir, const char *const *only, suite_group_fn *group, void *arg) {
    DIR *d = opendir(dir);
    if (!d) fail_msg("no folder %s", dir);
    for (struct dirent *x; (x = readdir(d));) {
        struct err e = ERR_INIT;
        size_t len = strlen(x->d_name);
        bool wanted = len > 5 && !strcmp(x->d_name + len - 5, ".json") && !only;
        for (int i = 0; only && only[i]; i++) wanted = wanted || !strcmp(only[i], x->d_name);
        if (!wanted) continue;
        char *path = io_join(dir, x->d_name);
        struct json_doc *doc = json_read_file(path, &e);
        if (!doc) fail_msg("%s", e.msg);
        for (const struct json *g = json_root(doc)->first; g; g = g->next) group(x->d_name, g, arg);
        json_doc_free(doc);
        free(path);
    }
    closedir(d);
}
#endif
