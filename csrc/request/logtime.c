#include "request/logtime.h"

/* Days from the civil calendar: Howard Hinnant, "chrono-compatible low-level date algorithms". `month` from 1. */
static int64_t days_from_civil(int year, int month, int day)
{
    year -= month <= 2;
    int era = year / 400, year_of_era = year - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return (int64_t)era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static bool month_of(const char **p, const char *end, int *month)
{
    static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    if (end - *p < 3)
        return false;
    const char name[3] = {(char)((*p)[0] | 32), (char)((*p)[1] | 32), (char)((*p)[2] | 32)};
    for (*month = 1; *month <= 12; ++*month)
        if (memcmp(months + 3 * (*month - 1), name, 3) == 0) {
            *p += 3;
            return true;
        }
    return false;
}

/* A day of one or two digits. */
static bool day_number(const char **p, const char *end, int *day)
{
    return end - *p > 1 && !xb_is_digit((*p)[1]) ? xb_take_number(p, end, 1, day) : xb_take_number(p, end, 2, day);
}

/* "17/May/2015" and the colon or blank behind it, or "2015-05-17" or "2015/05/17" and the T, blank or colon behind it. */
static bool day_of(const char **p, const char *end, int64_t *days)
{
    int day, month, year;
    if (end - *p < 12)
        return false;
    const char between = (*p)[4];
    if (between == '-' || (between == '/' && xb_is_digit((*p)[2]))) {
        if (!xb_take_number(p, end, 4, &year) || !xb_take_byte(p, end, between) || !xb_take_number(p, end, 2, &month) || !xb_take_byte(p, end, between) ||
            !xb_take_number(p, end, 2, &day) || month < 1 || month > 12 || *p == end || !memchr("T :", **p, 3))
            return false;
        ++*p;
    } else if (!day_number(p, end, &day) || !xb_take_byte(p, end, '/') || !month_of(p, end, &month) || !xb_take_byte(p, end, '/') ||
               !xb_take_number(p, end, 4, &year) || *p == end || (**p != ':' && **p != ' ')) {
        return false;
    } else {
        ++*p;
    }
    *days = days_from_civil(year, month, day);
    return day >= 1 && day <= 31;
}

/* "10:05:03", maybe with a fraction of the second, in milliseconds. */
static bool clock_of(const char **p, const char *end, int64_t *out)
{
    int hour, minute, second, milliseconds = 0;
    if (!xb_take_number(p, end, 2, &hour) || !xb_take_byte(p, end, ':') || !xb_take_number(p, end, 2, &minute) || !xb_take_byte(p, end, ':') ||
        !xb_take_number(p, end, 2, &second) || hour > 23 || minute > 59 || second > 60)
        return false;
    if (*p < end && (**p == '.' || **p == ',')) {
        int weight = 100;
        for (++*p; *p < end && xb_is_digit(**p); ++*p, weight /= 10)
            milliseconds += weight * (**p - '0');
    }
    *out = 1000 * (hour * 3600 + minute * 60 + second) + milliseconds;
    return true;
}

/* " +0000", "Z", "+00:00", " UTC", " GMT". Without a zone a time is UTC. */
static bool zone_of(const char **p, const char *end, int *seconds)
{
    int hours, minutes;
    *seconds = 0;
    if (*p < end && **p == ' ' && *p + 1 < end)
        ++*p;
    if (*p == end)
        return true;
    if (**p == 'Z') {
        ++*p;
        return true;
    }
    if (end - *p == 3 && (memcmp(*p, "UTC", 3) == 0 || memcmp(*p, "GMT", 3) == 0)) {
        *p = end;
        return true;
    }
    if (**p != '+' && **p != '-')
        return false;
    int sign = *(*p)++ == '-' ? -1 : 1;
    if (!xb_take_number(p, end, 2, &hours))
        return false;
    if (*p < end && **p == ':')
        ++*p;
    if (!xb_take_number(p, end, 2, &minutes))
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* "1431857103", "1431857103.250", "1431857103250". */
static bool of_epoch(const char *p, const char *end, int64_t *out)
{
    int64_t number = 0;
    int digits = 0, milliseconds = 0, weight = 100;
    for (; p < end && xb_is_digit(*p) && digits < 14; p++, digits++)
        number = 10 * number + (*p - '0');
    if (digits != 10 && digits != 13)
        return false;
    if (digits == 10 && p < end && *p == '.')
        for (p++; p < end && xb_is_digit(*p); p++, weight /= 10)
            milliseconds += weight * (*p - '0');
    *out = (digits == 10 ? 1000 * number : number) + milliseconds;
    return p == end;
}

/* "Sun May 17 10:05:03 2015": of C's asctime, as Apache writes its errors. */
static bool of_asctime(const char *p, const char *end, int64_t *out)
{
    int month, day, year;
    int64_t clock;
    p += 4; /* which day of the week it is follows from the others */
    if (!month_of(&p, end, &month) || !xb_take_byte(&p, end, ' '))
        return false;
    if (p < end && *p == ' ')
        p++;
    if (!day_number(&p, end, &day) || !xb_take_byte(&p, end, ' ') || !clock_of(&p, end, &clock) || !xb_take_byte(&p, end, ' ') ||
        !xb_take_number(&p, end, 4, &year) || p != end || day < 1 || day > 31)
        return false;
    *out = 86400000 * days_from_civil(year, month, day) + clock;
    return true;
}

bool xb_log_time(xb_span s, int64_t *out)
{
    const char *p = s.at, *end = s.at + s.size;
    int64_t days, clock;
    int zone;
    if (s.size > 4 && p[3] == ' ' && !xb_is_digit(*p))
        return of_asctime(p, end, out);
    if (s.size >= 10 && xb_is_digit(p[1]) && xb_is_digit(p[2]) && xb_is_digit(p[4]))
        return of_epoch(p, end, out);
    if (!day_of(&p, end, &days) || !clock_of(&p, end, &clock) || !zone_of(&p, end, &zone) || p != end)
        return false;
    *out = 86400000 * days + clock - 1000 * (int64_t)zone;
    return true;
}
