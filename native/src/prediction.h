/* Predictions. */
#pragma once

#include "event.h"

typedef struct {
    Event event;
    Span version, scores, features, segments; /* the last three: JSON text as it was sent */
    Value answer;
    double score, latency;
    double *numbers, *probabilities; /* in the plan's block; probabilities of all classes for multiclass only */
    int32_t *codes;
    int32_t version_code, segment_code, place;
    int8_t role;
} Prediction;

typedef struct {
    Common common;
    Column version, role, segment, score, place, latency;
    bool with_texts;
    Texts answers, scores, features, segments;
} Predictions;

static inline bool take_feature(Cursor *c, const Feature *feature, double *numbers, int32_t *codes) {
    unsigned char first = token(c);
    if (first == 'n') return take_word(c, "null", 4);
    switch (feature->kind) {
        case NUMBER: return take_number(c, &numbers[feature->column]);
        case STRING: {
            Span text;
            if (first != '"' || !take_string(c, &text)) return false;
            int32_t code = table_find(&feature->categories, text, hash_of(&feature->categories, text));
            codes[feature->column] = code == STRANGER ? feature->other : code;
            return true;
        }
        case BOOLEAN:
            codes[feature->column] = feature->truths[first == 't'];
            return take_word(c, "true", 4) || take_word(c, "false", 5);
        default: return false;
    }
}

/* Begin the next row of the plan's block, which counts when the whole event is read: all of it null. */
static bool begin_row(Prediction *found) {
    Plan *plan = found->event.plan;
    Py_ssize_t n_scores = plan->task == MULTICLASS ? plan->n_classes : 0;
    found->numbers = (double *)column_room(&plan->numbers, plan->n_numbers * (Py_ssize_t)sizeof(double));
    found->codes = (int32_t *)column_room(&plan->codes, plan->n_categories * (Py_ssize_t)sizeof(int32_t));
    found->probabilities = (double *)column_room(&plan->scores, n_scores * (Py_ssize_t)sizeof(double));
    if (!found->numbers || !found->codes || !found->probabilities) return false;
    for (Py_ssize_t i = 0; i < plan->n_numbers; i++) found->numbers[i] = Py_NAN;
    for (Py_ssize_t i = 0; i < plan->n_categories; i++) found->codes[i] = -1;
    for (Py_ssize_t i = 0; i < n_scores; i++) found->probabilities[i] = Py_NAN;
    names_begin(&plan->features);
    names_begin(&plan->classes);
    names_begin(&plan->tags);
    return true;
}

/* The row counts. 0, or -1 with MemoryError. */
static int end_row(const Prediction *found, Py_ssize_t row) {
    Plan *plan = found->event.plan;
    int32_t number = (int32_t)row;
    char *to = column_room(&plan->rows, sizeof number);
    if (!to) return -1;
    memcpy(to, &number, sizeof number);
    plan->rows.used += (Py_ssize_t)sizeof number;
    plan->numbers.used += plan->n_numbers * (Py_ssize_t)sizeof(double);
    plan->codes.used += plan->n_categories * (Py_ssize_t)sizeof(int32_t);
    if (plan->task == MULTICLASS) plan->scores.used += plan->n_classes * (Py_ssize_t)sizeof(double);
    return 0;
}

static bool take_features(Cursor *c, Prediction *found) {
    Plan *plan = found->event.plan;
    if (!take(c, '{')) return false;
    if (take(c, '}')) return true;
    do {
        int32_t slot;
        Value other;
        if (!names_next(&plan->features, c, &slot)) return false;
        if (slot == STRANGER ? !take_scalar(c, &other)
                             : !take_feature(c, &plan->declared[slot], found->numbers, found->codes))
            return false;
    } while (take(c, ','));
    return take(c, '}');
}

static bool take_scores(Cursor *c, Prediction *found) {
    Plan *plan = found->event.plan;
    double *to = plan->task == MULTICLASS ? found->probabilities : &found->score;
    if (!take(c, '{')) return false;
    if (take(c, '}')) return true;
    do {
        int32_t slot;
        double score;
        if (!names_next(&plan->classes, c, &slot)) return false;
        token(c);
        if (!take_number(c, &score) || !(score >= 0.0 && score <= 1.0)) return false;
        if (slot != STRANGER) to[slot] = score;
    } while (take(c, ','));
    return take(c, '}');
}

static bool take_segments(Cursor *c, Plan *plan) {
    if (!take(c, '{')) return false;
    if (take(c, '}')) return true;
    do {
        int32_t slot;
        Span value;
        if (!names_next(&plan->tags, c, &slot) || !take_string(c, &value)) return false;
        if (slot != STRANGER) plan->tag_values[slot] = value;
    } while (take(c, ','));
    return take(c, '}');
}

/* ("tag=value", ...) of the tags that the event has, in the plan's order. */
static PyObject *segments_told(const void *source) {
    const Plan *plan = source;
    Py_ssize_t count = 0, at = 0;
    for (int32_t tag = 0; tag < plan->n_tags; tag++) count += names_had(&plan->tags, tag);
    PyObject *told = PyTuple_New(count);
    for (int32_t tag = 0; told && tag < plan->n_tags; tag++) {
        if (!names_had(&plan->tags, tag)) continue;
        Span name = plan->tags.texts[tag], value = plan->tag_values[tag];
        char text[LONGEST_CODE];
        memcpy(text, name.text, (size_t)name.size);
        text[name.size] = '=';
        memcpy(text + name.size + 1, value.text, (size_t)value.size);
        PyObject *segment = PyUnicode_DecodeUTF8(text, name.size + 1 + value.size, NULL);
        if (!segment) Py_CLEAR(told);
        else PyTuple_SET_ITEM(told, at++, segment);
    }
    return told;
}

static int32_t segment_code(Decoder *decoder, const Plan *plan) {
    char text[LONGEST_CODE];
    Py_ssize_t size = 0;
    for (int32_t tag = 0; tag < plan->n_tags; tag++) {
        if (!names_had(&plan->tags, tag)) continue;
        Span name = plan->tags.texts[tag], value = plan->tag_values[tag];
        if (LONGEST_CODE - size < name.size + value.size + 2) return -1;
        memcpy(text + size, name.text, (size_t)name.size);
        size += name.size;
        text[size++] = '=';
        memcpy(text + size, value.text, (size_t)value.size);
        size += value.size;
        text[size++] = 0; /* in no string that came without an escape */
    }
    return code_of(&decoder->segments, (Span){text, size}, segments_told, plan);
}

static PyObject *version_told(const void *source) {
    const Span *version = source;
    return PyUnicode_DecodeUTF8(version->text, version->size, NULL);
}

static bool take_role(Cursor *c, int8_t *role) {
    Span text;
    if (token(c) != '"' || !take_string(c, &text)) return false;
    *role = same(text, (Span){"champion", 8}) ? 0 : same(text, (Span){"canary", 6}) ? 1 : 2;
    return *role < 2 || same(text, (Span){"shadow", 6});
}

/* A field that can only be read when the model is known. */
static bool take_planned(int32_t field, Cursor *c, Prediction *found) {
    token(c);
    const unsigned char *start = c->at;
    Span *whole;
    switch (field) {
        case FEATURES: whole = &found->features; if (!take_features(c, found)) return false; break;
        case SCORES: whole = &found->scores; if (!take_scores(c, found)) return false; break;
        default: whole = &found->segments; if (!take_segments(c, found->event.plan)) return false; break;
    }
    *whole = between(start, c->at);
    return true;
}

static bool take_prediction_field(Decoder *decoder, int32_t field, Cursor *c, Prediction *found, Cursor *later) {
    Plan *known = found->event.plan;
    switch (field) {
        case STRANGER: return skip(c, 0);
        case VERSION: return take_name(c, &found->version);
        case ANSWER: return take_scalar(c, &found->answer);
        case LATENCY:
            if (token(c) == 'n') return take_word(c, "null", 4);
            return take_number(c, &found->latency) && found->latency >= 0.0;
        case ROLE: return take_role(c, &found->role);
        case FEATURES:
        case SCORES:
        case SEGMENTS:
            if (known) return take_planned(field, c, found);
            later[field] = *c;
            return skip(c, 0);
        default:
            if (!take_common(decoder, &decoder->prediction_fields, field, c, &found->event)) return false;
            return known || !found->event.plan || begin_row(found);
    }
}

/* `streams.aggregate.tasks`: the watched score, and the choice among several classes. */
static bool judge_answer(Prediction *found) {
    Plan *plan = found->event.plan;
    Value *answer = &found->answer;
    switch (plan->task) {
        case BINARY: return names_had(&plan->classes, 0);
        case REGRESSION: found->score = answer->number; return answer->is == FLOAT;
        case MULTICLASS: break;
    }
    if (answer->is == NONE || !value_text(answer)) return false;
    found->place = table_find(&plan->classes.table, answer->text, hash_of(&plan->classes.table, answer->text));
    if (found->place == STRANGER) return false;
    if (!plan->classes.position) return true; /* no scores at all */
    for (int32_t slot = 0; slot < plan->n_classes; slot++)
        if (!names_had(&plan->classes, slot)) return false;
    found->score = found->probabilities[found->place];
    return true;
}

/* One prediction; false at any doubt, or with an exception. */
static bool read_prediction(Decoder *decoder, Cursor c, Prediction *found) {
    Names *fields = &decoder->prediction_fields;
    Cursor later[N_PREDICTION_FIELDS] = {{0}};
    *found = (Prediction){.scores = EMPTY_OBJECT, .segments = EMPTY_OBJECT, .score = Py_NAN, .latency = Py_NAN, .place = -1};
    names_begin(fields);
    if (!take(&c, '{')) return false;
    do {
        int32_t field;
        if (!names_next(fields, &c, &field) || !take_prediction_field(decoder, field, &c, found, later)) return false;
    } while (take(&c, ','));
    if (!take(&c, '}') || token(&c) || c.at != c.end) return false;
    for (int32_t field = 0; field <= FEATURES; field++) /* those that are required */
        if (!names_had(fields, field)) return false;
    for (int32_t field = FEATURES; field <= SEGMENTS; field++)
        if (later[field].at && !take_planned(field, &later[field], found)) return false;
    if (!judge_answer(found)) return false;
    found->version_code = code_of(&decoder->versions, found->version, version_told, &found->version);
    if (found->version_code < 0) return false;
    found->segment_code = segment_code(decoder, found->event.plan);
    return found->segment_code >= 0;
}

static int add_texts(Predictions *out, Py_ssize_t row, Prediction *found) {
    if (!value_text(&found->answer)) return -1;
    return texts_add(&out->common.ids, row, found->event.id) | texts_add(&out->answers, row, found->answer.text) |
           texts_add(&out->scores, row, found->scores) | texts_add(&out->features, row, found->features) |
           texts_add(&out->segments, row, found->segments);
}

static int add_no_texts(Predictions *out, Py_ssize_t row) {
    const Span none = {"", 0};
    if (texts_add(&out->common.keys, row, none) < 0) return -1;
    if (!out->with_texts) return 0;
    return texts_add(&out->common.ids, row, none) | texts_add(&out->answers, row, none) |
           texts_add(&out->scores, row, none) | texts_add(&out->features, row, none) |
           texts_add(&out->segments, row, none);
}

static int add_prediction(Predictions *out, Decoder *decoder, Py_ssize_t row, Prediction *found) {
    AT(out->version, int32_t, row) = found->version_code;
    AT(out->role, int8_t, row) = found->role;
    AT(out->segment, int32_t, row) = found->segment_code;
    AT(out->score, double, row) = found->score;
    AT(out->place, int32_t, row) = found->place;
    AT(out->latency, double, row) = found->latency;
    if (out->with_texts && add_texts(out, row, found) < 0) return -1;
    return common_add(&out->common, decoder, row, &found->event) < 0 ? -1 : end_row(found, row);
}

static void predictions_drop(Predictions *out) {
    common_drop(&out->common);
    Column *columns[] = {&out->version, &out->role, &out->segment, &out->score, &out->place, &out->latency};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) column_drop(columns[i]);
    Texts *texts[] = {&out->answers, &out->scores, &out->features, &out->segments};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) texts_drop(texts[i]);
}

static int predictions_init(Predictions *out, Py_ssize_t rows) {
    if (common_init(&out->common, rows) < 0) return -1;
    bool done = column_zeros(&out->version, rows * 4) && column_zeros(&out->role, rows) &&
                column_zeros(&out->segment, rows * 4) && column_zeros(&out->score, rows * 8) &&
                column_zeros(&out->place, rows * 4) && column_zeros(&out->latency, rows * 8);
    if (!done) return -1;
    return texts_init(&out->answers, rows) | texts_init(&out->scores, rows) | texts_init(&out->features, rows) |
           texts_init(&out->segments, rows);
}

/* plan -> (rows, numbers, codes, scores), of the plans that have rows; NULL with an exception. */
static PyObject *blocks_taken(Decoder *decoder) {
    PyObject *blocks = PyDict_New();
    for (Py_ssize_t i = 0; blocks && i < decoder->n_plans; i++) {
        Plan *plan = &decoder->plans[i];
        if (!plan->rows.used) continue;
        PyObject *key = PyLong_FromSsize_t(i);
        Column *columns[] = {&plan->rows, &plan->numbers, &plan->codes, &plan->scores};
        PyObject *block = PyTuple_New(4);
        for (Py_ssize_t j = 0; block && j < 4; j++) {
            PyObject *column = column_taken(columns[j]);
            if (!column) Py_CLEAR(block);
            else PyTuple_SET_ITEM(block, j, column);
        }
        if (!key || !block || PyDict_SetItem(blocks, key, block) < 0) Py_CLEAR(blocks);
        Py_XDECREF(key);
        Py_XDECREF(block);
    }
    return blocks;
}
