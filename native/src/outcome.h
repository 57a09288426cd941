/* Outcomes. */
#pragma once

#include "event.h"

typedef struct {
    Event event;
    Value label;
    double target;
} Outcome;

typedef struct {
    Common common;
    Column target;
    bool with_texts;
    Texts labels;
} Outcomes;

/* `streams.aggregate.tasks`: the label as a number. */
static bool judge_label(Outcome *found) {
    const Plan *plan = found->event.plan;
    Value *label = &found->label;
    if (label->is == NONE) return false;
    switch (plan->task) {
        case BINARY:
            found->target = label->is == TEXT    ? (double)same(label->text, plan->classes.texts[0])
                            : label->is == TRUTH ? (double)label->truth
                                                 : label->number;
            return found->target == 0.0 || found->target == 1.0;
        case REGRESSION: found->target = label->number; return label->is == FLOAT;
        case MULTICLASS: break;
    }
    if (!value_text(label)) return false;
    int32_t place = table_find(&plan->classes.table, label->text, hash_of(&plan->classes.table, label->text));
    found->target = place;
    return place != STRANGER;
}

/* One outcome; false at any doubt, or with an exception. */
static bool read_outcome(Decoder *decoder, Cursor c, Outcome *found) {
    Names *fields = &decoder->outcome_fields;
    *found = (Outcome){.target = Py_NAN};
    names_begin(fields);
    if (!take(&c, '{')) return false;
    do {
        int32_t field;
        if (!names_next(fields, &c, &field)) return false;
        bool taken = field == STRANGER ? skip(&c, 0)
                     : field == LABEL  ? take_scalar(&c, &found->label)
                                       : take_common(decoder, fields, field, &c, &found->event);
        if (!taken) return false;
    } while (take(&c, ','));
    if (!take(&c, '}') || token(&c) || c.at != c.end) return false;
    for (int32_t field = 0; field < N_OUTCOME_FIELDS; field++)
        if (!names_had(fields, field)) return false;
    return judge_label(found);
}

static int add_outcome(Outcomes *out, Decoder *decoder, Py_ssize_t row, Outcome *found) {
    AT(out->target, double, row) = found->target;
    if (out->with_texts) {
        if (!value_text(&found->label)) return -1;
        if (texts_add(&out->common.ids, row, found->event.id) | texts_add(&out->labels, row, found->label.text)) return -1;
    }
    return common_add(&out->common, decoder, row, &found->event);
}

static int add_no_outcome_texts(Outcomes *out, Py_ssize_t row) {
    const Span none = {"", 0};
    if (texts_add(&out->common.keys, row, none) < 0) return -1;
    if (!out->with_texts) return 0;
    return texts_add(&out->common.ids, row, none) | texts_add(&out->labels, row, none);
}

static void outcomes_drop(Outcomes *out) {
    common_drop(&out->common);
    column_drop(&out->target);
    texts_drop(&out->labels);
}

static int outcomes_init(Outcomes *out, Py_ssize_t rows) {
    if (common_init(&out->common, rows) < 0 || !column_zeros(&out->target, rows * 8)) return -1;
    return texts_init(&out->labels, rows);
}
