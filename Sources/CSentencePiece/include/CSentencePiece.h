#ifndef UNIMED_CSENTENCEPIECE_H
#define UNIMED_CSENTENCEPIECE_H

// A plain C interface to the SentencePiece library.
//
// Functions that can fail return 0 for success and otherwise another number; csp_last_error() then says why. Their
// out-parameters are untouched on failure. No C++ exception leaves this interface.

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#else
#define _Nullable
#define _Nonnull
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// A loaded model. It does not change after loading, so that threads may share it.
typedef struct csp_processor csp_processor;

/// Why the last call on this thread failed, as UTF-8. Valid until the next failing call on this thread.
const char *csp_last_error(void);

/// Loads a serialized model. The caller owns the result (csp_processor_free).
int32_t csp_processor_load(const void *bytes, size_t count, csp_processor *_Nullable *_Nonnull processor);

/// Ends a model.
void csp_processor_free(csp_processor *_Nullable processor);

/// The number of pieces.
int32_t csp_piece_count(const csp_processor *processor);

/// The ids of special pieces; -1 where the model has none.
int32_t csp_unknown_id(const csp_processor *processor);
int32_t csp_bos_id(const csp_processor *processor);
int32_t csp_eos_id(const csp_processor *processor);
int32_t csp_pad_id(const csp_processor *processor);

/// The text of a piece as UTF-8, owned by the model. The id must be in 0..<csp_piece_count.
int32_t csp_piece(const csp_processor *processor, int32_t id, const char *_Nullable *_Nonnull text, size_t *length);

/// The id of a piece; the unknown id when there is no such piece.
int32_t csp_piece_id(const csp_processor *processor, const char *text, size_t length);

/// Turns UTF-8 text into ids. The caller owns the ids (csp_ids_free).
int32_t csp_encode(const csp_processor *processor, const char *_Nullable text, size_t length,
                   int32_t *_Nullable *_Nonnull ids, size_t *count);

/// Ends what csp_encode gave.
void csp_ids_free(int32_t *_Nullable ids);

/// Turns ids into UTF-8 text. Every id must be in 0..<csp_piece_count. The caller owns the text (csp_bytes_free).
int32_t csp_decode(const csp_processor *processor, const int32_t *_Nullable ids, size_t count,
                   char *_Nullable *_Nonnull text, size_t *length);

/// Ends what csp_decode or csp_train gave.
void csp_bytes_free(char *_Nullable bytes);

/// Trains a model on texts and returns it serialized. The caller owns the model (csp_bytes_free).
///
/// - names, values: options of the trainer, by its names. The option "minloglevel" is set here.
/// - texts, lengths: UTF-8 texts, each one training sentence.
int32_t csp_train(const char *_Nonnull const *_Nonnull names, const char *_Nonnull const *_Nonnull values,
                  size_t option_count, const char *_Nonnull const *_Nonnull texts, const size_t *lengths,
                  size_t text_count, char *_Nullable *_Nonnull model, size_t *length);

#ifdef __cplusplus
}
#endif

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
