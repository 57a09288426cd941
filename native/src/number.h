/* JSON numbers to the nearest double, ties to even: the same bits as any other correct decoder. */
#pragma once

#include "cursor.h"

#define MOST_DIGITS 19 /* all of their numbers fit in 64 bits */
#define LONGEST_NUMBER 64

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const uint64_t WHOLE_POWERS[] = {
    1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u, 100000000000u,
    1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u, 10000000000000000u, 100000000000000000u,
    1000000000000000000u, 10000000000000000000u};

/* mantissa / divisor, both not 0, by one long division: at least 62 bits of the quotient are exact, and the lowest one
 * says whether there is a rest, so that rounding to 53 bits is right. */
static double quotient(uint64_t mantissa, uint64_t divisor) {
    int up = __builtin_clzll(mantissa), down = __builtin_clzll(divisor);
    unsigned __int128 dividend = (unsigned __int128)(mantissa << up) << 63;
    divisor <<= down;
    uint64_t whole = (uint64_t)(dividend / divisor);
    whole |= dividend != (unsigned __int128)whole * divisor;
    uint64_t bits = (uint64_t)(1023 + down - up - 63) << 52; /* a power of two, never subnormal */
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return (double)whole * scale;
}

/* Python's own conversion, for the rest. The text is part of a bytes object, so a byte that is no digit follows it. */
static bool by_python(const unsigned char *start, const unsigned char *end, double *value) {
    char *stopped;
    *value = PyOS_string_to_double((const char *)start, &stopped, NULL);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return stopped == (const char *)end && isfinite(*value);
}

static inline uint64_t take_digits(Cursor *c, uint64_t mantissa) {
    for (unsigned digit; (digit = (unsigned)peek(c) - '0') < 10; c->at++) mantissa = mantissa * 10 + digit;
    return mantissa;
}

static inline bool take_number(Cursor *c, double *value) {
    const unsigned char *start = c->at;
    bool negative = peek(c) == '-';
    c->at += negative;
    const unsigned char *first = c->at;
    uint64_t mantissa = 0; /* wraps round when there are too many digits, and is not used then */
    if (peek(c) == '0')
        c->at++;
    else
        mantissa = take_digits(c, 0);
    Py_ssize_t digits = c->at - first, exponent = 0;
    if (!digits) return false;
    if (peek(c) == '.') {
        first = ++c->at;
        mantissa = take_digits(c, mantissa);
        exponent = first - c->at;
        if (!exponent) return false;
        digits -= exponent;
    }
    bool whole = !exponent;
    if ((peek(c) | 0x20) == 'e') {
        c->at++;
        bool below = peek(c) == '-';
        c->at += below || peek(c) == '+';
        first = c->at;
        Py_ssize_t power = (Py_ssize_t)take_digits(c, 0);
        if (c->at == first || c->at - first > 4) return false;
        exponent += below ? -power : power;
        whole = false;
    }
    if (c->at - start > LONGEST_NUMBER) return false;
    if (digits > MOST_DIGITS) return by_python(start, c->at, value);
    double size;
    if (!mantissa) {
        *value = negative && !whole ? -0.0 : 0.0; /* a whole -0 is the integer 0 */
        return true;
    }
    if (!exponent)
        size = (double)mantissa;
    else if (mantissa <= UINT64_C(1) << 53 && -22 <= exponent && exponent <= 22) /* Clinger 1990: exact operands */
        size = exponent < 0 ? (double)mantissa / POWERS[-exponent] : (double)mantissa * POWERS[exponent];
    else if (-MOST_DIGITS <= exponent && exponent < 0)
        size = quotient(mantissa, WHOLE_POWERS[-exponent]);
    else
        return by_python(start, c->at, value);
    *value = negative ? -size : size;
    return true;
}

#define DEEPEST 16

/* Any value, checked and thrown away. */
static bool skip(Cursor *c, int depth) {
    Span text;
    double number;
    unsigned char opening = token(c);
    switch (opening) {
        case '"': return take_string(c, &text);
        case 't': return take_word(c, "true", 4);
        case 'f': return take_word(c, "false", 5);
        case 'n': return take_word(c, "null", 4);
        case '{':
        case '[': break;
        default: return take_number(c, &number);
    }
    if (depth == DEEPEST) return false;
    unsigned char closing = opening == '{' ? '}' : ']';
    c->at++;
    if (take(c, closing)) return true;
    do {
        if (opening == '{' && !(take_string(c, &text) && take(c, ':'))) return false;
        if (!skip(c, depth + 1)) return false;
    } while (take(c, ','));
    return take(c, closing);
}
