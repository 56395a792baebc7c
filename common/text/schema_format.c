/* The formats that are checked, as regular expressions (ECMA-262): the validator searches them, decoding writes what they
   match. Sources: RFC 3339 (date, time, duration), RFC 9562 (uuid), RFC 5321 (email), RFC 1123 (hostname, but for xn--), RFC 2673 (ipv4),
   RFC 4291 (ipv6), RFC 3986 (uri, uri-reference), RFC 3987 (iri, iri-reference), RFC 6570 (uri-template), RFC 6901 (json-pointer). A leap second is known by 23:59:60Z only. */
#include "common/text/schema_node.h"
#include <string.h>

#define LEAP "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
#define DATE \
    "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|" LEAP "-02-29)"
#define TIME "(?:(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[zZ]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)|23:59:60(?:\\.\\d+)?[zZ])"
#define N "\\d+"
#define HOURS "(?:" N "H(?:" N "M(?:" N "S)?)?|" N "M(?:" N "S)?|" N "S)"
#define DAYS "(?:" N "D|" N "M(?:" N "D)?|" N "Y(?:" N "M(?:" N "D)?)?)"
#define OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 OCTET "(?:\\." OCTET "){3}"
#define H16 "[0-9a-fA-F]{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6 \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16 ":){4}" LS32 "|(?:(?:" H16 ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32 \
    "|(?:(?:" H16 ":){0,2}" H16 ")?::(?:" H16 ":){2}" LS32 "|(?:(?:" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16 ":){0,4}" H16 ")?::" LS32 \
    "|(?:(?:" H16 ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16 ")?::)"
#define A "[A-Za-z0-9]"
#define X "[A-Za-z0-9-]"
#define LABEL A "(?:" X "?" A "|" X X A "|" X "(?:" A X "|-" A ")" X "{0,58}" A ")?" /* no -- at its third place: xn-- has rules that are no pattern */
#define HOST LABEL "(?:\\." LABEL ")*"
#define ATEXT "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
#define QUOTED "\"(?:[\\u0020-\\u0021\\u0023-\\u005b\\u005d-\\u007e]|\\\\[\\u0020-\\u007e])*\""
/* u: further characters inside a class, "" for a URI; p: such of the query alone. A first segment that is no scheme has no colon. */
#define CHARS(set) "(?:[A-Za-z0-9._~!$&'()*+,;=" set "-]|%[0-9A-Fa-f]{2})"
#define PCHAR(u) CHARS(":@" u)
#define AUTHORITY(u) "(?:" CHARS(":" u) "*@)?(?:\\[(?:" IPV6 "|[vV][0-9A-Fa-f]+\\." CHARS(":") "+)\\]|" CHARS(u) "*)(?::\\d*)?"
#define PATHS(u, first) "(?://" AUTHORITY(u) "(?:/" PCHAR(u) "*)*|/(?:" PCHAR(u) "+(?:/" PCHAR(u) "*)*)?|" first "+(?:/" PCHAR(u) "*)*|)"
#define TAIL(u, p) "(?:\\?" CHARS(":@/?" u p) "*)?(?:#" CHARS(":@/?" u) "*)?"
#define URI(u, p) "[A-Za-z][A-Za-z0-9+.-]*:" PATHS(u, PCHAR(u)) TAIL(u, p)
#define RELATIVE(u, p) PATHS(u, CHARS("@" u)) TAIL(u, p)
#define PLANE(n) "\\u{" n "0000}-\\u{" n "fffd}"
#define UCS \
    "\\u00a0-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\uffef" PLANE("1") PLANE("2") PLANE("3") PLANE("4") PLANE("5") PLANE("6") PLANE("7") PLANE("8") PLANE("9") \
        PLANE("a") PLANE("b") PLANE("c") PLANE("d") "\\u{e1000}-\\u{efffd}"
#define PRIVATE "\\ue000-\\uf8ff" PLANE("f") PLANE("10")
#define VARNAME "(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})(?:\\.?(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2}))*"
#define VARSPEC VARNAME "(?::[1-9]\\d{0,3}|\\*)?"
#define LITERAL "[!#$&'()*+,./0-9:;=?@A-Z\\[\\]_a-z~\\u00a0-\\ud7ff\\ue000-\\u{10ffff}-]|%[0-9A-Fa-f]{2}"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "[tT]" TIME "$"},
    {"duration", "^P(?:" N "W|" DAYS "(?:T" HOURS ")?|T" HOURS ")$"},
    {"uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"},
    {"email", "^(?:" ATEXT "(?:\\." ATEXT ")*|" QUOTED ")@(?:" HOST "|\\[" IPV4 "\\]|\\[IPv6:" IPV6 "\\])$"},
    {"hostname", "^(?!.{254})" HOST "$"},
    {"ipv4", "^" IPV4 "$"},
    {"ipv6", "^" IPV6 "$"},
    {"uri", "^" URI("", "") "$"},
    {"uri-reference", "^(?:" URI("", "") "|" RELATIVE("", "") ")$"},
    {"iri", "^" URI(UCS, PRIVATE) "$"},
    {"iri-reference", "^(?:" URI(UCS, PRIVATE) "|" RELATIVE(UCS, PRIVATE) ")$"},
    {"uri-template", "^(?:" LITERAL "|\\{[+#./;?&=,!@|]?" VARSPEC "(?:," VARSPEC ")*\\})*$"},
    {"json-pointer", "^(?:/(?:[^~/]|~[01])*)*$"},
};

const char *schema_format_pattern(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strlen(formats[i].name) == n && !memcmp(formats[i].name, name, n)) return formats[i].pattern;
    return NULL;
}
