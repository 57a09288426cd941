/* Known texts and their codes, and the names of an object's members: which one it is, and whether it is there twice. */
#pragma once

#include "cursor.h"

#define STRANGER (-1)

typedef struct {
    uint64_t hash;
    Span text; /* ours; NULL: free */
    int32_t code;
} Entry;

typedef struct {
    Entry *entries;
    size_t size; /* a power of two, or 0 */
    int32_t used;
    uint64_t seed;
} Table;

static inline uint64_t folded(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Seeded, since texts come from outside: nobody can prepare many of them that collide. */
static inline uint64_t hash_of(const Table *table, Span s) {
    uint64_t hash = table->seed ^ (uint64_t)s.size, word;
    Py_ssize_t at = 0;
    for (; s.size - at > 8; at += 8) {
        memcpy(&word, s.text + at, 8);
        hash = folded(hash ^ word, UINT64_C(0x9E3779B97F4A7C15));
    }
    word = 0;
    for (Py_ssize_t i = at; i < s.size; i++) word |= (uint64_t)(unsigned char)s.text[i] << (8 * (i - at));
    return folded(hash ^ word, table->seed | UINT64_C(0x8000000000000001));
}

/* A secret of this process, Python's own; false with an exception. */
static bool secret(uint64_t *seed) {
    PyObject *word = PyUnicode_FromString("driftline_native");
    if (!word) return false;
    *seed = folded((uint64_t)PyObject_Hash(word), UINT64_C(0xD1B54A32D192ED03));
    Py_DECREF(word);
    return true;
}

static inline int32_t table_find(const Table *table, Span s, uint64_t hash) {
    if (!table->size) return STRANGER;
    for (size_t place = hash & (table->size - 1);; place = (place + 1) & (table->size - 1)) {
        const Entry *entry = &table->entries[place];
        if (!entry->text.text) return STRANGER;
        if (entry->hash == hash && same(entry->text, s)) return entry->code;
    }
}

static void table_place(Entry *entries, size_t size, Entry entry) {
    size_t place = entry.hash & (size - 1);
    while (entries[place].text.text) place = (place + 1) & (size - 1);
    entries[place] = entry;
}

/* The code of a text that is not there yet: 0, 1, 2...; -1 with MemoryError. `ours` becomes the table's copy of it. */
static int32_t table_add(Table *table, Span s, uint64_t hash, Span *ours) {
    if ((size_t)table->used * 2 >= table->size) {
        size_t size = table->size ? table->size * 2 : 16;
        Entry *entries = PyMem_Calloc(size, sizeof *entries);
        if (!entries) return PyErr_NoMemory(), -1;
        for (size_t i = 0; i < table->size; i++)
            if (table->entries[i].text.text) table_place(entries, size, table->entries[i]);
        PyMem_Free(table->entries);
        table->entries = entries;
        table->size = size;
    }
    char *copy = PyMem_Malloc((size_t)s.size + 1);
    if (!copy) return PyErr_NoMemory(), -1;
    memcpy(copy, s.text, (size_t)s.size);
    *ours = (Span){copy, s.size};
    table_place(table->entries, table->size, (Entry){hash, *ours, table->used});
    return table->used++;
}

static void table_free(Table *table) {
    for (size_t i = 0; i < table->size; i++) PyMem_Free((char *)table->entries[i].text.text);
    PyMem_Free(table->entries);
    *table = (Table){0};
}

#define MOST_STRANGERS 256

/* The names that an object may have. Events of one sender have their members in one order, so the name that stood at a
 * position last time is tried first. */
typedef struct {
    Table table;
    Span *texts;     /* slot -> name, the table's own copy */
    uint64_t *seen;  /* slot -> the newest object that had it */
    uint64_t object; /* the number of the object that is read */
    int32_t *order;    /* position -> slot that stood there last */
    uint64_t *unknown; /* hashes of the object's other names; grows */
    int position, positions, strangers, room;
} Names;

static void names_free(Names *names) {
    table_free(&names->table);
    PyMem_Free(names->texts);
    PyMem_Free(names->seen);
    PyMem_Free(names->order);
    PyMem_Free(names->unknown);
    *names = (Names){0};
}

/* Reserve room for slots; names are added by names_add. 0, or -1 with MemoryError. */
static int names_init(Names *names, size_t slots, uint64_t seed) {
    names->table.seed = seed;
    names->texts = PyMem_Calloc(slots + 1, sizeof *names->texts);
    names->seen = PyMem_Calloc(slots + 1, sizeof *names->seen);
    names->positions = (int)slots * 2 + 8;
    names->order = PyMem_Malloc((size_t)names->positions * sizeof *names->order);
    if (!names->texts || !names->seen || !names->order) return PyErr_NoMemory(), -1;
    for (int i = 0; i < names->positions; i++) names->order[i] = STRANGER;
    return 0;
}

/* The slot of a name, new or not; -1 with MemoryError. */
static int32_t names_add(Names *names, Span text) {
    uint64_t hash = hash_of(&names->table, text);
    int32_t slot = table_find(&names->table, text, hash);
    if (slot != STRANGER) return slot;
    Span ours;
    slot = table_add(&names->table, text, hash, &ours);
    if (slot >= 0) names->texts[slot] = ours;
    return slot;
}

static inline void names_begin(Names *names) {
    names->object++;
    names->position = names->strangers = 0;
}

static inline bool names_had(const Names *names, int32_t slot) { return names->seen[slot] == names->object; }

/* Remember the hash of a name that is no slot's; false when it is there already, or one of very many. */
static bool names_stranger(Names *names, uint64_t hash) {
    for (int i = 0; i < names->strangers; i++)
        if (names->unknown[i] == hash) return false;
    if (names->strangers == names->room) {
        int room = names->room ? names->room * 2 : 16;
        uint64_t *unknown = room > MOST_STRANGERS ? NULL : PyMem_Realloc(names->unknown, (size_t)room * sizeof *unknown);
        if (!unknown) return false;
        names->unknown = unknown;
        names->room = room;
    }
    names->unknown[names->strangers++] = hash;
    return true;
}

/* Read `"name":`; false when the object has the name already. */
static inline bool names_next(Names *names, Cursor *c, int32_t *slot) {
    if (token(c) != '"') return false;
    int position = names->position++;
    int32_t guess = position < names->positions ? names->order[position] : STRANGER;
    if (guess != STRANGER) {
        /* Whatever is in the order was once read as a string without escapes: a quote after it ends the name. */
        Span text = names->texts[guess];
        const unsigned char *at = c->at + 1;
        if (c->end - at > text.size && at[text.size] == '"' && memcmp(at, text.text, (size_t)text.size) == 0) {
            c->at = at + text.size + 1;
            *slot = guess;
            if (names_had(names, guess)) return false;
            names->seen[guess] = names->object;
            return take(c, ':');
        }
    }
    Span name;
    if (!take_string(c, &name)) return false;
    uint64_t hash = hash_of(&names->table, name);
    *slot = table_find(&names->table, name, hash);
    if (*slot != STRANGER) {
        if (names_had(names, *slot)) return false;
        names->seen[*slot] = names->object;
        if (position < names->positions) names->order[position] = *slot;
    } else if (!names_stranger(names, hash))
        return false;
    return take(c, ':');
}
