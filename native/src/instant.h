/* RFC 3339 times with an offset to milliseconds since 1970, UTC. */
#pragma once

#include "cursor.h"

/* Days since 1970-01-01 in the Gregorian calendar; H. Hinnant, "chrono-compatible low-level date algorithms". */
static inline int64_t days_since_1970(int year, int month, int day) {
    year -= month <= 2;
    int era = year / 400, of_era = year - era * 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline int days_of_month(int year, int month) {
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return DAYS[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

/* Two digits as a number; more than 99 when they are none. */
static inline unsigned two(const char *at) {
    unsigned tens = (unsigned char)at[0] - (unsigned)'0', ones = (unsigned char)at[1] - (unsigned)'0';
    return tens < 10 && ones < 10 ? tens * 10 + ones : 100;
}

/* `2013-02-01T06:00:00Z`, with up to 9 digits of a second, with Z or an offset like +01:00; from 1970 on. */
static bool instant_ms(Span s, int64_t *ms) {
    const char *at = s.text, *end = s.text + s.size;
    if (s.size < 20 || at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':' || at[16] != ':') return false;
    unsigned century = two(at), years = two(at + 2), month = two(at + 5), day = two(at + 8);
    unsigned hour = two(at + 11), minute = two(at + 14), second = two(at + 17);
    if (century > 99 || years > 99 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return false;
    int year = (int)(century * 100 + years);
    if (year < 1970 || year > 9998 || day < 1 || day > (unsigned)days_of_month(year, (int)month)) return false;

    int millis = 0;
    at += 19;
    if (*at == '.') {
        unsigned nanos = 0, digits = 0;
        for (at++; at < end && (unsigned)(*at - '0') < 10 && digits < 9; at++, digits++)
            nanos = nanos * 10 + (unsigned)(*at - '0');
        if (!digits) return false;
        for (; digits < 9; digits++) nanos *= 10;
        unsigned micros = (nanos + 500) / 1000; /* datetime has microseconds: the rest is rounded, half up */
        if (micros > 999999) return false;
        millis = (int)(micros / 1000);
    }

    int offset = 0;
    if (end - at == 6 && (*at == '+' || *at == '-') && at[3] == ':') {
        unsigned hours = two(at + 1), minutes = two(at + 4);
        if (hours > 23 || minutes > 59) return false;
        offset = (int)(hours * 60 + minutes) * (*at == '+' ? 60 : -60);
    } else if (end - at != 1 || *at != 'Z')
        return false;
    int64_t seconds = days_since_1970(year, (int)month, (int)day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    *ms = seconds * 1000 + millis;
    return seconds >= 0;
}
