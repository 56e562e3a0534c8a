#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "Support.h"

namespace medical {

namespace {

/// Releases what zlib holds, whichever way a function is left.
struct Inflater {
    z_stream stream{};
    explicit Inflater(int window) {
        if (inflateInit2(&stream, window) != Z_OK) throw std::bad_alloc();
    }
    ~Inflater() { inflateEnd(&stream); }
    Inflater(const Inflater &) = delete;
    Inflater &operator=(const Inflater &) = delete;
};

}  // namespace

std::vector<uint8_t> inflated(Bytes source, int window, size_t maximum_count) {
    constexpr size_t piece = size_t(1) << 30;
    const bool has_members = window > 15;
    Inflater inflater(window);
    z_stream &stream = inflater.stream;
    std::vector<uint8_t> result;
    size_t taken = 0;
    size_t made = 0;
    for (;;) {
        if (made == result.size()) {
            if (made >= maximum_count) fail(MEDICAL_TOO_LARGE, "more than %zu bytes when inflated", maximum_count);
            const size_t estimate = std::max<size_t>(source.count, 1 << 14) * 2;
            result.resize(std::min(maximum_count, std::max(made * 2, estimate)));
        }
        const size_t in = std::min(piece, source.count - taken);
        const size_t out = std::min(piece, result.size() - made);
        stream.next_in = const_cast<Bytef *>(source.start + taken);
        stream.avail_in = uInt(in);
        stream.next_out = result.data() + made;
        stream.avail_out = uInt(out);
        const int status = inflate(&stream, Z_NO_FLUSH);
        const size_t consumed = in - stream.avail_in;
        const size_t produced = out - stream.avail_out;
        taken += consumed;
        made += produced;
        if (status == Z_STREAM_END) {
            // Further members follow without a gap; zeros after the last one are padding.
            const bool is_more = has_members && source.count - taken >= 2 && source.start[taken] == 0x1F
                && source.start[taken + 1] == 0x8B;
            if (!is_more) break;
            if (inflateReset(&stream) != Z_OK) fail(MEDICAL_MALFORMED, "the compressed data are damaged");
            continue;
        }
        if (status != Z_OK && status != Z_BUF_ERROR) fail(MEDICAL_MALFORMED, "the compressed data are damaged");
        if (consumed == 0 && produced == 0 && stream.avail_out > 0) {
            fail(MEDICAL_MALFORMED, "the compressed data are truncated");
        }
    }
    result.resize(made);
    return result;
}

}  // namespace medical

using namespace medical;

int32_t medical_gunzip(
    const uint8_t *bytes, size_t count, size_t maximum_count, uint8_t **inflated_bytes, size_t *inflated_count,
    char *message) {
    return guarded(message, [&] {
        std::vector<uint8_t> result = inflated({bytes, count}, 15 + 16, maximum_count);
        auto *copy = static_cast<uint8_t *>(std::malloc(std::max<size_t>(result.size(), 1)));
        if (!copy) throw std::bad_alloc();
        std::memcpy(copy, result.data(), result.size());
        *inflated_bytes = copy;
        *inflated_count = result.size();
    });
}

void medical_free(void *memory) { std::free(memory); }
