/* Ids and the row in which each was first seen: a table that keeps the keys itself, in the order in which they came.
 *
 * A key is compared to the byte whatever its hash is, and so the table says what a dict of bytes would. */
#pragma once

#include "keys.h"

#define PREFETCHED 12 /* keys ahead: memory answers while others are compared */
#define TAKEN UINT32_C(0x80000000)

typedef struct {
    int64_t slot; /* FORGOTTEN when it was dropped from the middle */
    int64_t end;  /* in `keys`; it begins where the one before ends */
} Known;

#define FORGOTTEN (-1)

/* An entry of the table is 0, or the upper half of a key's hash (its highest bit set) and the lower half of the number of
 * its `Known`: the numbers of all that are there differ by less than 2^31. */
typedef struct {
    PyObject_HEAD
    uint64_t *entries;
    size_t size; /* a power of two */
    Known *known;
    Py_ssize_t first, used, room; /* of `known`: [first, used) may be there */
    int64_t number;               /* of known[0] */
    char *keys;
    int64_t key_room;
    Py_ssize_t live;
    Table hashing; /* its seed */
} Ids;

static inline int64_t key_begin(const Ids *self, Py_ssize_t at) { return at ? self->known[at - 1].end : 0; }

static inline Span key_at(const Ids *self, Py_ssize_t at) {
    int64_t begin = key_begin(self, at);
    return (Span){self->keys + begin, (Py_ssize_t)(self->known[at].end - begin)};
}

static inline uint32_t tag_of(const Ids *self, Span key) { return (uint32_t)(hash_of(&self->hashing, key) >> 32) | TAKEN; }

static inline Py_ssize_t place_of(const Ids *self, uint64_t entry) {
    return (Py_ssize_t)(uint32_t)((uint32_t)entry - (uint32_t)self->number);
}

/* Place in `known` of a key, or -1. `*free`: the entry at which the search ended. */
static inline Py_ssize_t ids_find(const Ids *self, Span key, uint32_t tag, size_t *free) {
    size_t mask = self->size - 1, place = tag & mask;
    for (uint64_t entry; (entry = self->entries[place]); place = (place + 1) & mask) {
        if ((uint32_t)(entry >> 32) != tag) continue;
        Py_ssize_t at = place_of(self, entry);
        if (same(key_at(self, at), key)) return *free = place, at;
    }
    *free = place;
    return -1;
}

/* Room for so many more ids of so many bytes in all, so that nothing can fail afterwards. False with MemoryError. */
static bool ids_reserve(Ids *self, Py_ssize_t more, int64_t bytes) {
    if (self->used > INT32_MAX - more) {
        PyErr_SetString(PyExc_OverflowError, "more than 2**31 ids: forget some");
        return false;
    }
    if (self->room - self->used < more) {
        Py_ssize_t room = self->used + more + self->used / 2;
        Known *known = PyMem_Realloc(self->known, (size_t)room * sizeof *known);
        if (!known) return PyErr_NoMemory(), false;
        self->known = known;
        self->room = room;
    }
    int64_t end = key_begin(self, self->used);
    if (!self->keys || self->key_room - end < bytes) {
        int64_t room = end + bytes + end / 2 + 64;
        char *keys = PyMem_Realloc(self->keys, (size_t)room);
        if (!keys) return PyErr_NoMemory(), false;
        self->keys = keys;
        self->key_room = room;
    }
    size_t size = self->size ? self->size : 64;
    while (size / 2 < (size_t)(self->live + more)) size *= 2;
    if (size == self->size) return true;
    uint64_t *entries = PyMem_Calloc(size, sizeof *entries);
    if (!entries) return PyErr_NoMemory(), false;
    for (size_t i = 0; i < self->size; i++) {
        if (!self->entries[i]) continue;
        size_t place = (size_t)(self->entries[i] >> 32) & (size - 1);
        while (entries[place]) place = (place + 1) & (size - 1);
        entries[place] = self->entries[i];
    }
    PyMem_Free(self->entries);
    self->entries = entries;
    self->size = size;
    return true;
}

/* Take an entry out, and move those behind it that could not be found any more. */
static void ids_remove(Ids *self, Py_ssize_t at) {
    size_t mask = self->size - 1, hole;
    Span key = key_at(self, at);
    if (ids_find(self, key, tag_of(self, key), &hole) != at) return;
    for (size_t place = (hole + 1) & mask; self->entries[place]; place = (place + 1) & mask) {
        size_t home = (size_t)(self->entries[place] >> 32) & mask;
        if (((place - home) & mask) < ((place - hole) & mask)) continue;
        self->entries[hole] = self->entries[place];
        hole = place;
    }
    self->entries[hole] = 0;
    self->known[at].slot = FORGOTTEN;
    self->live--;
}

/* Pass over what was dropped at the front, and give its memory to others once it is a quarter. */
static void ids_trim(Ids *self) {
    while (self->first < self->used && self->known[self->first].slot == FORGOTTEN) self->first++;
    if (self->first <= self->used / 4) return;
    int64_t begin = key_begin(self, self->first), end = key_begin(self, self->used);
    memmove(self->keys, self->keys + begin, (size_t)(end - begin));
    self->used -= self->first;
    memmove(self->known, self->known + self->first, (size_t)self->used * sizeof *self->known);
    for (Py_ssize_t at = 0; at < self->used; at++) self->known[at].end -= begin;
    self->number += self->first;
    self->first = 0;
}

/* Tags of all keys; NULL with MemoryError. */
static uint32_t *tags_of(const Ids *self, const Keys *keys) {
    Py_ssize_t count = keys->start.size;
    uint32_t *tags = PyMem_Malloc((size_t)(count + 1) * sizeof *tags);
    if (!tags) return PyErr_NoMemory(), NULL;
    for (Py_ssize_t row = 0; row < count; row++) tags[row] = tag_of(self, key_of_row(keys, row));
    return tags;
}

/* Entries and, nearer, the keys that they are of, are asked for before they are needed. */
static inline void ids_prefetch(const Ids *self, const uint32_t *tags, Py_ssize_t row, Py_ssize_t count) {
    if (row + 2 * PREFETCHED < count) __builtin_prefetch(&self->entries[tags[row + 2 * PREFETCHED] & (self->size - 1)]);
    if (row + PREFETCHED >= count) return;
    uint64_t entry = self->entries[tags[row + PREFETCHED] & (self->size - 1)];
    if ((uint32_t)(entry >> 32) == tags[row + PREFETCHED]) __builtin_prefetch(&self->known[place_of(self, entry)]);
}

static PyObject *ids_claim(Ids *self, PyObject *args) {
    PyObject *data, *start, *size;
    long long slot;
    Keys keys = {0};
    Column found = {0};
    uint32_t *tags = NULL;
    int64_t bytes;
    if (!PyArg_ParseTuple(args, "OOOL:claim", &data, &start, &size, &slot)) return NULL;
    if (!keys_open(&keys, data, start, size, &bytes)) goto failed;
    Py_ssize_t count = keys.start.size;
    if (slot < 0 || slot > INT64_MAX - count) {
        PyErr_SetString(PyExc_ValueError, "slots are numbers from 0 on");
        goto failed;
    }
    if (!column_zeros(&found, count * 8) || !(tags = tags_of(self, &keys)) || !ids_reserve(self, count, bytes)) goto failed;
    int64_t *slots = &AT(found, int64_t, 0), end = key_begin(self, self->used);
    for (Py_ssize_t row = 0; row < count; row++) {
        ids_prefetch(self, tags, row, count);
        Span key = key_of_row(&keys, row);
        size_t free;
        Py_ssize_t at = ids_find(self, key, tags[row], &free);
        if (at >= 0) {
            slots[row] = self->known[at].slot;
            continue;
        }
        slots[row] = slot + row;
        self->entries[free] = (uint64_t)tags[row] << 32 | (uint32_t)(self->number + self->used);
        memcpy(self->keys + end, key.text, (size_t)key.size);
        end += key.size;
        self->known[self->used++] = (Known){slots[row], end};
        self->live++;
    }
    PyMem_Free(tags);
    keys_close(&keys);
    return column_taken(&found);
failed:
    PyMem_Free(tags);
    column_drop(&found);
    keys_close(&keys);
    return NULL;
}

static PyObject *ids_slots(Ids *self, PyObject *args) {
    PyObject *data, *start, *size;
    Keys keys = {0};
    Column found = {0};
    uint32_t *tags = NULL;
    int64_t bytes;
    if (!PyArg_ParseTuple(args, "OOO:find", &data, &start, &size)) return NULL;
    if (!keys_open(&keys, data, start, size, &bytes) || !column_zeros(&found, keys.start.size * 8) ||
        !(tags = tags_of(self, &keys)))
        column_drop(&found);
    for (Py_ssize_t row = 0; found.array && row < keys.start.size; row++) {
        ids_prefetch(self, tags, row, keys.start.size);
        size_t free;
        Py_ssize_t at = ids_find(self, key_of_row(&keys, row), tags[row], &free);
        AT(found, int64_t, row) = at < 0 ? -1 : self->known[at].slot;
    }
    PyMem_Free(tags);
    keys_close(&keys);
    return found.array ? column_taken(&found) : NULL;
}

static bool has_prefix(Span text, Span prefix) {
    return text.size >= prefix.size && memcmp(text.text, prefix.text, (size_t)prefix.size) == 0;
}

/* Forget ids: the oldest `count` of those that begin with the prefix. (data, sizes) of them, the oldest first. */
static PyObject *ids_forget(Ids *self, PyObject *args) {
    Span prefix;
    Py_ssize_t count;
    Column data = {0}, sizes = {0};
    if (!PyArg_ParseTuple(args, "y#n:forget", &prefix.text, &prefix.size, &count)) return NULL;
    Py_ssize_t chosen = 0, bytes = 0, at = self->first;
    for (; at < self->used && chosen < count; at++) {
        if (self->known[at].slot == FORGOTTEN || !has_prefix(key_at(self, at), prefix)) continue;
        chosen++;
        bytes += key_at(self, at).size;
    }
    PyObject *both = NULL;
    if (column_zeros(&data, bytes) && column_zeros(&sizes, chosen * 4)) {
        char *to = PyByteArray_AS_STRING(data.array);
        int32_t *size = &AT(sizes, int32_t, 0);
        for (Py_ssize_t place = self->first; place < at; place++) {
            Span key = key_at(self, place);
            if (self->known[place].slot == FORGOTTEN || !has_prefix(key, prefix)) continue;
            memcpy(to, key.text, (size_t)key.size);
            to += key.size;
            *size++ = (int32_t)key.size;
        }
        PyObject *first = column_taken(&data), *second = column_taken(&sizes);
        both = first && second ? PyTuple_Pack(2, first, second) : NULL;
        Py_XDECREF(first);
        Py_XDECREF(second);
    }
    column_drop(&data);
    column_drop(&sizes);
    if (!both) return NULL;
    for (Py_ssize_t place = self->first; place < at; place++)
        if (self->known[place].slot != FORGOTTEN && has_prefix(key_at(self, place), prefix)) ids_remove(self, place);
    ids_trim(self);
    return both;
}

static PyObject *ids_oldest(Ids *self, PyObject *Py_UNUSED(ignored)) {
    return PyLong_FromLongLong(self->live ? self->known[self->first].slot : -1);
}

static Py_ssize_t ids_length(Ids *self) { return self->live; }

static void ids_dealloc(Ids *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyMem_Free(self->entries);
    PyMem_Free(self->known);
    PyMem_Free(self->keys);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *ids_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Ids", names)) return NULL;
    Ids *self = (Ids *)type->tp_alloc(type, 0);
    if (self && (!secret(&self->hashing.seed) || !ids_reserve(self, 0, 0))) Py_CLEAR(self);
    return (PyObject *)self;
}

static PyMethodDef IDS_METHODS[] = {
    {"claim", (PyCFunction)ids_claim, METH_VARARGS, "claim(data, start, size, slot): first slots; new ids get theirs"},
    {"find", (PyCFunction)ids_slots, METH_VARARGS, "find(data, start, size): first slots, -1 where there is none"},
    {"forget", (PyCFunction)ids_forget, METH_VARARGS, "forget(prefix, count): (data, sizes) of the oldest, which are gone"},
    {"oldest", (PyCFunction)ids_oldest, METH_NOARGS, "the slot of the oldest id, -1 without one"},
    {NULL, NULL, 0, NULL}};

static PyType_Slot IDS_SLOTS[] = {
    {Py_tp_new, ids_new},
    {Py_tp_dealloc, ids_dealloc},
    {Py_tp_methods, IDS_METHODS},
    {Py_mp_length, ids_length},
    {Py_tp_doc, "Ids and the slot in which each was first seen."},
    {0, NULL}};

static PyType_Spec IDS = {
    .name = "driftline_native.Ids",
    .basicsize = sizeof(Ids),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = IDS_SLOTS,
};
