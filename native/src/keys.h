/* Columns of keys (`namespace/model/prediction_id`): parts of one buffer. */
#pragma once

#include "event.h"
#include "kernels.h"

/* Keys as they are handed over: each is a part of one buffer. */
typedef struct {
    Py_buffer data;
    const char *bytes;
    Input start, size;
} Keys;

static void keys_close(Keys *keys) {
    PyBuffer_Release(&keys->data);
    PyBuffer_Release(&keys->start.view);
    PyBuffer_Release(&keys->size.view);
}

static inline Span key_of_row(const Keys *keys, Py_ssize_t row) {
    return (Span){keys->bytes + int_at(&keys->start, row), (Py_ssize_t)int_at(&keys->size, row)};
}

/* False with an exception, unless every key lies within the buffer. `*bytes`: of all of them. */
static bool keys_open(Keys *keys, PyObject *data, PyObject *start, PyObject *size, int64_t *bytes) {
    if (PyObject_GetBuffer(data, &keys->data, PyBUF_SIMPLE) < 0 || !input_open(&keys->start, start, "lq", "start") ||
        !input_open(&keys->size, size, "i", "size"))
        return false;
    keys->bytes = keys->data.buf ? keys->data.buf : ""; /* an empty buffer may be nowhere */
    *bytes = 0;
    bool fits = keys->start.size == keys->size.size;
    for (Py_ssize_t row = 0; fits && row < keys->start.size; row++) {
        int64_t from = int_at(&keys->start, row), length = int_at(&keys->size, row);
        fits = from >= 0 && length >= 0 && from <= keys->data.len && length <= keys->data.len - from;
        *bytes += length;
    }
    if (!fits) PyErr_Format(PyExc_ValueError, "keys must lie within the %zd bytes of data, one size per start", keys->data.len);
    return fits;
}

/* Of zlib's CRC-32, for eight bytes at once (Kounavis and Berry 2005): row r is of a byte with r zeros behind it. */
static uint32_t CRC_TABLE[8][256];

static void crc_prepare(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
        CRC_TABLE[0][byte] = crc;
    }
    for (int row = 1; row < 8; row++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = CRC_TABLE[row - 1][byte];
            CRC_TABLE[row][byte] = crc >> 8 ^ CRC_TABLE[0][crc & 255];
        }
}

static uint32_t crc32_of(Span key) {
    const uint8_t *at = (const uint8_t *)key.text, *end = at + key.size;
    uint32_t crc = UINT32_MAX;
    for (; end - at >= 8; at += 8)
        crc = CRC_TABLE[7][at[0] ^ (crc & 255)] ^ CRC_TABLE[6][at[1] ^ (crc >> 8 & 255)] ^
              CRC_TABLE[5][at[2] ^ (crc >> 16 & 255)] ^ CRC_TABLE[4][at[3] ^ crc >> 24] ^ CRC_TABLE[3][at[4]] ^
              CRC_TABLE[2][at[5]] ^ CRC_TABLE[1][at[6]] ^ CRC_TABLE[0][at[7]];
    for (; at < end; at++) crc = crc >> 8 ^ CRC_TABLE[0][(crc ^ *at) & 255];
    return ~crc;
}

/* zlib's CRC-32 of each key. */
static PyObject *checksums(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *data, *start, *size;
    Keys keys = {0};
    Column found = {0};
    int64_t bytes;
    if (!PyArg_ParseTuple(args, "OOO:checksums", &data, &start, &size)) return NULL;
    if (keys_open(&keys, data, start, size, &bytes) && column_zeros(&found, keys.start.size * 4))
        for (Py_ssize_t row = 0; row < keys.start.size; row++) AT(found, uint32_t, row) = crc32_of(key_of_row(&keys, row));
    keys_close(&keys);
    return found.array ? column_taken(&found) : NULL;
}

/* Set the bits first, first + step, ... of each row, `each` of them, modulo the size of the field. */
static PyObject *mark(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *given[2], *done = NULL;
    Py_buffer bits = {0};
    Input first = {0}, step = {0};
    unsigned int each;
    if (!PyArg_ParseTuple(args, "w*OOI:mark", &bits, &given[0], &given[1], &each)) return NULL;
    if (input_open(&first, given[0], "lq", "first") && input_open(&step, given[1], "lq", "step")) {
        uint64_t mask = (uint64_t)bits.len * 8 - 1;
        if (!bits.len || bits.len & (bits.len - 1) || first.size != step.size)
            PyErr_SetString(PyExc_ValueError, "mark() needs a power of two of bytes, and a step for each first bit");
        else {
            uint8_t *field = bits.buf;
            for (Py_ssize_t row = 0; row < first.size; row++) {
                uint64_t at = (uint64_t)int_at(&first, row), further = (uint64_t)int_at(&step, row);
                for (unsigned int bit = 0; bit < each; bit++, at += further) field[(at & mask) >> 3] |= (uint8_t)(1u << (at & 7));
            }
            done = Py_NewRef(Py_None);
        }
    }
    PyBuffer_Release(&bits);
    PyBuffer_Release(&first.view);
    PyBuffer_Release(&step.view);
    return done;
}

/* The keys of ids in Arrow's layout, and Kafka's hash of each. */
static PyObject *prefixed(PyObject *Py_UNUSED(module), PyObject *args) {
    Span prefix;
    PyObject *given[2], *made = NULL;
    Input offsets = {0};
    Py_buffer data = {0};
    Column keys = {0}, hashes = {0};
    if (!PyArg_ParseTuple(args, "y#OO:prefixed", &prefix.text, &prefix.size, &given[0], &given[1])) return NULL;
    if (!input_open(&offsets, given[0], "i", "offsets") || PyObject_GetBuffer(given[1], &data, PyBUF_SIMPLE) < 0) goto done;
    Py_ssize_t count = offsets.size - 1;
    bool fits = count >= 0 && int_at(&offsets, 0) >= 0 && int_at(&offsets, count) <= data.len;
    for (Py_ssize_t row = 0; fits && row < count; row++) fits = int_at(&offsets, row) <= int_at(&offsets, row + 1);
    if (!fits || prefix.size > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "offsets must not fall, from 0 to the %zd bytes of data", data.len);
        goto done;
    }
    if (!column_zeros(&keys, int_at(&offsets, count) - int_at(&offsets, 0) + count * prefix.size) ||
        !column_zeros(&hashes, count * 4))
        goto done;
    char *to = PyByteArray_AS_STRING(keys.array);
    for (Py_ssize_t row = 0; row < count; row++) {
        Py_ssize_t from = (Py_ssize_t)int_at(&offsets, row), size = (Py_ssize_t)int_at(&offsets, row + 1) - from;
        memcpy(to, prefix.text, (size_t)prefix.size);
        if (size) memcpy(to + prefix.size, (const char *)data.buf + from, (size_t)size);
        AT(hashes, uint32_t, row) = murmur2((Span){to, prefix.size + size});
        to += prefix.size + size;
    }
    PyObject *first = column_taken(&keys), *second = column_taken(&hashes);
    made = first && second ? PyTuple_Pack(2, first, second) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(second);
done:
    column_drop(&keys);
    column_drop(&hashes);
    PyBuffer_Release(&offsets.view);
    PyBuffer_Release(&data);
    return made;
}
