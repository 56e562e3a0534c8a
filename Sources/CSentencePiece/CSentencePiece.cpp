#include "CSentencePiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct csp_processor {
    sentencepiece::SentencePieceProcessor processor;
};

namespace {

thread_local std::string last_error;

// The one place where exceptions end. `body` throws to report a failure.
template <typename Body>
int32_t guarded(Body &&body) noexcept {
    try {
        body();
        return 0;
    } catch (const std::exception &error) {
        try {
            last_error = error.what();
        } catch (...) {
            last_error.clear();
        }
    } catch (...) {
        last_error.clear();
    }
    return 1;
}

void check(const sentencepiece::util::Status &status) {
    if (!status.ok()) throw std::runtime_error(status.error_message());
}

char *copy(const std::string &bytes) {
    char *result = static_cast<char *>(std::malloc(bytes.size() + 1));
    if (result == nullptr) throw std::bad_alloc();
    std::memcpy(result, bytes.data(), bytes.size());
    result[bytes.size()] = 0;
    return result;
}

class Texts final : public sentencepiece::SentenceIterator {
  public:
    Texts(const char *const *texts, const size_t *lengths, size_t count) : texts_(texts), lengths_(lengths), count_(count) {
        fill();
    }
    bool done() const override { return index_ >= count_; }
    void Next() override {
        ++index_;
        fill();
    }
    const std::string &value() const override { return value_; }
    sentencepiece::util::Status status() const override { return {}; }

  private:
    void fill() {
        if (index_ < count_) value_.assign(texts_[index_], lengths_[index_]);
    }
    const char *const *texts_;
    const size_t *lengths_;
    size_t count_;
    size_t index_ = 0;
    std::string value_;
};

}  // namespace

const char *csp_last_error(void) { return last_error.c_str(); }

int32_t csp_processor_load(const void *bytes, size_t count, csp_processor **processor) {
    return guarded([&] {
        if (count > INT_MAX) throw std::length_error("a model has at most 2 GiB");
        auto result = std::make_unique<csp_processor>();
        check(result->processor.LoadFromSerializedProto({static_cast<const char *>(bytes), count}));
        *processor = result.release();
    });
}

void csp_processor_free(csp_processor *processor) { delete processor; }

int32_t csp_piece_count(const csp_processor *processor) { return processor->processor.GetPieceSize(); }
int32_t csp_unknown_id(const csp_processor *processor) { return processor->processor.unk_id(); }
int32_t csp_bos_id(const csp_processor *processor) { return processor->processor.bos_id(); }
int32_t csp_eos_id(const csp_processor *processor) { return processor->processor.eos_id(); }
int32_t csp_pad_id(const csp_processor *processor) { return processor->processor.pad_id(); }

int32_t csp_piece(const csp_processor *processor, int32_t id, const char **text, size_t *length) {
    return guarded([&] {
        if (id < 0 || id >= processor->processor.GetPieceSize()) throw std::out_of_range("the id is not in the model");
        const std::string &piece = processor->processor.IdToPiece(id);
        *text = piece.data();
        *length = piece.size();
    });
}

int32_t csp_piece_id(const csp_processor *processor, const char *text, size_t length) {
    int32_t id = processor->processor.unk_id();
    guarded([&] { id = processor->processor.PieceToId({text, length}); });
    return id;
}

int32_t csp_encode(const csp_processor *processor, const char *text, size_t length, int32_t **ids, size_t *count) {
    return guarded([&] {
        std::vector<int> result;
        check(processor->processor.Encode(std::string_view(text, length), &result));
        auto *copied = static_cast<int32_t *>(std::malloc((result.size() + 1) * sizeof(int32_t)));
        if (copied == nullptr) throw std::bad_alloc();
        static_assert(sizeof(int) == sizeof(int32_t));
        if (!result.empty()) std::memcpy(copied, result.data(), result.size() * sizeof(int32_t));
        *ids = copied;
        *count = result.size();
    });
}

void csp_ids_free(int32_t *ids) { std::free(ids); }

int32_t csp_decode(const csp_processor *processor, const int32_t *ids, size_t count, char **text, size_t *length) {
    return guarded([&] {
        const int32_t pieces = processor->processor.GetPieceSize();
        std::vector<int> copied;
        copied.reserve(count);
        for (size_t i = 0; i < count; ++i) {
            if (ids[i] < 0 || ids[i] >= pieces) throw std::out_of_range("an id is not in the model");
            copied.push_back(ids[i]);
        }
        std::string result;
        check(processor->processor.Decode(copied, &result));
        *text = copy(result);
        *length = result.size();
    });
}

void csp_bytes_free(char *bytes) { std::free(bytes); }

int32_t csp_train(const char *const *names, const char *const *values, size_t option_count, const char *const *texts,
                  const size_t *lengths, size_t text_count, char **model, size_t *length) {
    // The library's log level is a global variable, so trainings take turns.
    static std::mutex turn;
    return guarded([&] {
        std::lock_guard<std::mutex> lock(turn);
        std::unordered_map<std::string, std::string> options;
        for (size_t i = 0; i < option_count; ++i) options[names[i]] = values[i];
        options["minloglevel"] = "3";
        Texts iterator(texts, lengths, text_count);
        std::string result;
        check(sentencepiece::SentencePieceTrainer::Train(options, &iterator, &result));
        *model = copy(result);
        *length = result.size();
    });
}
