import Foundation
import UniMedData

/// Jobs that run on several threads while their results are taken, one after the other, in the order of the jobs.
enum OrderedWork {
    /// Runs jobs.
    ///
    /// A thread begins a job only while fewer than `window` results wait, so that memory does not grow with the jobs.
    ///
    /// - Parameters:
    ///   - jobs: The jobs' numbers.
    ///   - threadCount: The number of threads besides the caller's.
    ///   - window: The number of jobs that are begun and not taken at most.
    ///   - run: Does a job, on one of the threads.
    ///   - take: Is given each result in the order of the jobs, on the calling thread. What it throws ends the work: jobs
    ///     that have begun are finished, others are not begun.
    static func run<Result: Sendable>(
        _ jobs: Range<Int>,
        threadCount: Int,
        window: Int,
        run: @escaping @Sendable (Int) -> Result,
        take: (Int, Result) throws(DataError) -> Void
    ) throws(DataError) {
        let board = Board<Result>(jobs, window: max(window, threadCount))
        let threads = min(threadCount, jobs.count)
        for number in 0..<threads {
            let thread = Thread {
                while let job = board.nextJob() {
                    // Frameworks leave objects behind that are released only at the end of a pool.
                    board.put(autoreleased { run(job) }, of: job)
                }
                board.leave()
            }
            thread.name = "unimed.work.\(number)"
            thread.stackSize = 8 << 20
            board.enter()
            thread.start()
        }
        defer { board.end() }
        for job in jobs { try take(job, board.result(of: job)) }
    }

    private static func autoreleased<Result>(_ body: () -> Result) -> Result {
        #if canImport(ObjectiveC)
            autoreleasepool(invoking: body)
        #else
            body()
        #endif
    }

    /// What is to be done and what is done.
    ///
    /// Sendable unchecked because every access to the mutable properties holds the condition's lock.
    private final class Board<Result: Sendable>: @unchecked Sendable {
        private let condition = NSCondition()
        private let upperBound: Int
        private let window: Int
        private var next: Int
        private var taken: Int
        private var results: [Int: Result] = [:]
        private var isEnded = false
        private var workers = 0

        init(_ jobs: Range<Int>, window: Int) {
            (next, taken, upperBound, self.window) = (jobs.lowerBound, jobs.lowerBound, jobs.upperBound, window)
        }

        func enter() { condition.withLock { workers += 1 } }

        func leave() {
            condition.withLock {
                workers -= 1
                condition.broadcast()
            }
        }

        func nextJob() -> Int? {
            condition.withLock {
                while next < upperBound, next - taken >= window, !isEnded { condition.wait() }
                guard next < upperBound, !isEnded else { return nil }
                next += 1
                return next - 1
            }
        }

        func put(_ result: Result, of job: Int) {
            condition.withLock {
                results[job] = result
                if job == taken { condition.broadcast() }
            }
        }

        func result(of job: Int) -> Result {
            condition.withLock {
                while true {
                    if let result = results.removeValue(forKey: job) {
                        taken = job + 1
                        condition.broadcast()
                        return result
                    }
                    condition.wait()
                }
            }
        }

        /// Begins no more jobs and waits for those that have begun.
        func end() {
            condition.withLock {
                isEnded = true
                condition.broadcast()
                while workers > 0 { condition.wait() }
            }
        }
    }
}
