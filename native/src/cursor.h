/* Reading JSON, never past the end: every byte is read through a cursor.
 *
 * A function that returns bool says true when it is sure, and false at any doubt: malformed, unusual, or merely not
 * worth the code. False costs time, never an answer, because the row then goes to the careful decoder. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || !defined(__SIZEOF_INT128__)
#error "driftline_native needs a 64-bit little-endian machine, and gcc or clang; driftline works without it, slower"
#endif

typedef struct {
    const unsigned char *at, *end;
} Cursor;

typedef struct {
    const char *text;
    Py_ssize_t size;
} Span;

static inline bool same(Span a, Span b) { return a.size == b.size && memcmp(a.text, b.text, (size_t)a.size) == 0; }

static inline Span between(const unsigned char *start, const unsigned char *end) {
    return (Span){(const char *)start, end - start};
}

/* The byte under the cursor; 0 at the end, which is part of no JSON. */
static inline unsigned char peek(const Cursor *c) { return c->at < c->end ? *c->at : 0; }

/* The first byte of the next token. */
static inline unsigned char token(Cursor *c) {
    unsigned char byte = peek(c);
    while (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t') {
        c->at++;
        byte = peek(c);
    }
    return byte;
}

static inline bool take(Cursor *c, unsigned char wanted) {
    if (token(c) != wanted) return false;
    c->at++;
    return true;
}

static inline bool take_word(Cursor *c, const char *word, Py_ssize_t size) {
    if (c->end - c->at < size || memcmp(c->at, word, (size_t)size) != 0) return false;
    c->at += size;
    return true;
}

/* As Python decodes: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const unsigned char *at, const unsigned char *end) {
    while (at < end) {
        unsigned char lead = *at++;
        if (lead < 0x80) continue;
        int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        if (lead < 0xC2 || lead > 0xF4 || end - at < more) return false;
        unsigned char least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        unsigned char most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (*at < least || *at > most) return false;
        for (at++; --more; at++)
            if ((*at & 0xC0) != 0x80) return false;
    }
    return true;
}

#define EACH_BYTE(x) (UINT64_C(0x0101010101010101) * (x))
#define HIGH_BITS EACH_BYTE(0x80)

/* The high bit of each byte of a word that may end a run of plain characters: quote, backslash, control character.
 * Only the lowest bit is to be trusted: a borrow may set others above it. */
static inline uint64_t stops(uint64_t word) {
    uint64_t quote = word ^ EACH_BYTE('"'), backslash = word ^ EACH_BYTE('\\');
    return (((quote - EACH_BYTE(1)) & ~quote) | ((backslash - EACH_BYTE(1)) & ~backslash) |
            ((word - EACH_BYTE(0x20)) & ~word)) & HIGH_BITS;
}

/* A string without escapes, of valid UTF-8. */
static inline bool take_string(Cursor *c, Span *found) {
    if (!take(c, '"')) return false;
    const unsigned char *start = c->at;
    uint64_t high = 0;
    for (;;) {
        if (c->end - c->at >= 8) {
            uint64_t word, stop;
            memcpy(&word, c->at, 8);
            stop = stops(word);
            if (!stop) {
                high |= word;
                c->at += 8;
                continue;
            }
            high |= word & ((stop & -stop) - 1);
            c->at += __builtin_ctzll(stop) >> 3;
            break;
        }
        unsigned char byte = peek(c);
        if (byte == '"' || byte == '\\' || byte < 0x20) break;
        high |= byte;
        c->at++;
    }
    if (peek(c) != '"') return false;
    *found = between(start, c->at);
    c->at++;
    return !(high & HIGH_BITS) || is_utf8(start, c->at - 1);
}
