/* JSON Schema 2020-12: compile once, validate instances. Keywords: type, enum, const, properties, required,
   additionalProperties, patternProperties, propertyNames, min/maxProperties, items, prefixItems, min/maxItems,
   uniqueItems, contains, min/maxContains, minLength, maxLength (code points), pattern (ECMA-262), minimum, maximum,
   exclusive…, multipleOf (exact), dependentRequired, dependentSchemas, unevaluatedProperties, unevaluatedItems, $ref and
   $dynamicRef within the file, $defs (or definitions), $anchor, $dynamicAnchor, $id at the root, allOf, anyOf, oneOf, not,
   if/then/else, format (date, time, date-time, duration, uuid, email, hostname, ipv4, ipv6, uri, uri-reference, iri,
   iri-reference, uri-template, json-pointer, regex); annotations (title, description, default, examples, $comment, deprecated,
   readOnly, writeOnly, content…, x-…). Any other keyword and any other format is an error naming it and its path (RC_INPUT); schema_options can make annotations of those that no standard knows.
   Draft-07's spellings, and draft-04's and draft-06's as far as they are the same: items and additionalItems for prefixItems
   and items, dependencies, $id inside, and where $schema says draft-07 or older, $ref hides what stands beside it.
   https://json-schema.org/draft/2020-12 */
#ifndef COADOR_SCHEMA_H
#define COADOR_SCHEMA_H
#include "common/io/json.h"

struct schema;
struct schema *schema_read_file(const char *path, struct err *e); /* give: schema_free */
struct schema *schema_compile(const char *text, size_t n, const char *name, struct err *e);
struct schema_options {
    bool annotate_unknown; /* keywords and formats that are not known are passed over */
    bool annotate_format;  /* so is format, whatever it says */
};
struct schema *schema_compile_with(const char *text, size_t n, const char *name, const struct schema_options *o, struct err *e);
struct schema *schema_read_file_with(const char *path, const struct schema_options *o, struct err *e);
void schema_free(struct schema *s);
/* 0 valid; -1 and e "at /f1/polaridade: expected …". One thread at a time on one schema. Schemas that branch without
   end give "validation given up: …". */
int schema_validate(const struct schema *s, const struct json *v, struct err *e);
const char *schema_text(const struct schema *s, size_t *n); /* its source, as read */
/* The leaves a classifier fills: every property path (through nested objects) whose schema is an enum of strings.
   Paths are joined with '.', in schema order; $ref and allOf are followed. Used by eval. */
int schema_n_fields(const struct schema *s);
const char *schema_field(const struct schema *s, int i);         /* "f1.polaridade" */
int schema_field_n_values(const struct schema *s, int i);
const char *schema_field_value(const struct schema *s, int i, int k);
#endif
