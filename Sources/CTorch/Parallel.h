// Loops on LibTorch's own threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <mutex>

#include <dlfcn.h>

#include <ATen/Parallel.h>
#include <c10/util/ParallelGuard.h>

namespace ctorch {

/// The functions of the OpenMP library which LibTorch has loaded.
struct OpenMP {
    /// What GCC makes of `#pragma omp parallel`: each thread of the caller's team calls the function once.
    void (*region)(void (*function)(void *), void *data, unsigned threads, unsigned flags);
    int (*thread)();
    int (*threads)();

    /// None where LibTorch has other threads.
    static const OpenMP *loaded() {
        static const OpenMP library{symbol<decltype(region)>("GOMP_parallel"), symbol<decltype(thread)>("omp_get_thread_num"), symbol<decltype(threads)>("omp_get_num_threads")};
        return library.region && library.thread && library.threads ? &library : nullptr;
    }

  private:
    template <class Function>
    static Function symbol(const char *name) {
        return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
    }
};

/// Calls `body(first, last)` for the parts of a range, of `grain` elements or more, on as many threads as LibTorch has.
///
/// `at::parallel_for` does it where the compiler knows OpenMP. Swift's does not: there it is a loop on one thread.
template <class Body>
void parallelFor(int64_t begin, int64_t end, int64_t grain, const Body &body) {
    if (begin >= end) return;
    at::internal::lazy_init_num_threads();
    const int64_t most = (end - begin + grain - 1) / grain;
    const auto *openMP = OpenMP::loaded();
    const int64_t parts = openMP == nullptr || at::in_parallel_region() ? 1 : std::min<int64_t>(most, at::get_num_threads());
    if (parts == 1) {
        const c10::ParallelGuard guard(true);
        body(begin, end);
        return;
    }
    struct Work {
        const Body &body;
        const OpenMP &openMP;
        int64_t begin, end, parts;
        std::mutex mutex;
        std::exception_ptr failure;
    } work{body, *openMP, begin, end, parts};
    // No number of threads: LibTorch has set it, and changing it would have the library end and start threads.
    openMP->region(
        [](void *data) {
            auto &work = *static_cast<Work *>(data);
            const c10::ParallelGuard guard(true);
            const int64_t size = (work.end - work.begin + work.parts - 1) / work.parts;
            // A thread has the same part in every loop, as in LibTorch's: what it wrote is in its cache. A team can be smaller.
            for (int64_t part = work.openMP.thread(); part < work.parts; part += work.openMP.threads()) {
                const int64_t first = work.begin + part * size;
                if (first >= work.end) return;
                try {
                    work.body(first, std::min(work.end, first + size));
                } catch (...) {
                    const std::lock_guard<std::mutex> lock(work.mutex);
                    if (!work.failure) work.failure = std::current_exception();
                }
            }
        },
        &work, 0, 0);
    if (work.failure) std::rethrow_exception(work.failure);
}

}  // namespace ctorch
