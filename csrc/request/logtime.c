#include "request/logtime.h"

/* Days from the civil calendar: Howard Hinnant, "chrono-compatible low-level date algorithms". `month` from 1. */
static int64_t days_from_civil(int year, int month, int day)
{
    year -= month <= 2;
    int era = year / 400, year_of_era = year - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return (int64_t)era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* "17/May/2015" and the colon behind it, or "2015-05-17" and the T or blank behind it. */
static bool day_of(const char **p, const char *end, int64_t *days)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int day, month = 0, year;
    if (end - *p < 12)
        return false;
    if ((*p)[4] == '-') {
        if (!xb_take_number(p, end, 4, &year) || !xb_take_byte(p, end, '-') || !xb_take_number(p, end, 2, &month) || !xb_take_byte(p, end, '-') ||
            !xb_take_number(p, end, 2, &day) || (**p != 'T' && **p != ' ') || month < 1 || month > 12)
            return false;
        (*p)++;
    } else {
        if (!xb_take_number(p, end, 2, &day) || !xb_take_byte(p, end, '/'))
            return false;
        while (month < 12 && memcmp(months + 3 * month, *p, 3) != 0)
            month++;
        *p += 3;
        if (month++ == 12 || !xb_take_byte(p, end, '/') || !xb_take_number(p, end, 4, &year) || !xb_take_byte(p, end, ':'))
            return false;
    }
    *days = days_from_civil(year, month, day);
    return day >= 1 && day <= 31;
}

/* " +0000"; of ISO 8601 also "Z" and "+00:00", without a blank. Without a zone a time is UTC. */
static bool zone_of(const char **p, const char *end, bool iso, int *seconds)
{
    int hours, minutes;
    *seconds = 0;
    if (*p == end)
        return true;
    if (iso && **p == 'Z') {
        (*p)++;
        return true;
    }
    if (**p == ' ')
        (*p)++;
    else if (!iso)
        return false;
    if (*p == end || (**p != '+' && **p != '-'))
        return false;
    int sign = *(*p)++ == '-' ? -1 : 1;
    if (!xb_take_number(p, end, 2, &hours))
        return false;
    if (iso && *p < end && **p == ':')
        (*p)++;
    if (!xb_take_number(p, end, 2, &minutes))
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool xb_log_time(xb_span s, int64_t *out)
{
    const char *p = s.at, *end = s.at + s.size;
    int64_t days;
    int hour, minute, second, zone, milliseconds = 0;
    const bool iso = s.size > 4 && p[4] == '-';
    if (!day_of(&p, end, &days) || !xb_take_number(&p, end, 2, &hour) || !xb_take_byte(&p, end, ':') || !xb_take_number(&p, end, 2, &minute) ||
        !xb_take_byte(&p, end, ':') || !xb_take_number(&p, end, 2, &second))
        return false;
    if (p < end && (*p == '.' || *p == ',')) {
        int weight = 100;
        for (p++; p < end && xb_is_digit(*p); p++, weight /= 10)
            milliseconds += weight * (*p - '0');
    }
    if (!zone_of(&p, end, iso, &zone) || p != end || hour > 23 || minute > 59 || second > 60)
        return false;
    *out = 1000 * (days * 86400 + hour * 3600 + minute * 60 + second - zone) + milliseconds;
    return true;
}
