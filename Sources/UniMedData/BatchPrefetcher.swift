import Foundation

/// Makes batches on a thread of its own while the training thread computes.
///
/// The producer is a value: a state (for example a ``MixtureSampler``) and a function from the state to the next batch
/// and the next state. Batches arrive in the order in which they are made, each with the state after it: who keeps that
/// state with a checkpoint and starts a new prefetcher from it continues with exactly the next batch, although others
/// had already been made ahead.
///
/// ```swift
/// let prefetcher = BatchPrefetcher(state: sampler, depth: 2) { sampler in
///     try makeBatch(sampler.nextBatch(of: 32))
/// }
/// while let produced = try prefetcher.next() { train(on: produced.batch) }
/// ```
public final class BatchPrefetcher<Batch: Sendable, State: Sendable>: Sendable {
    /// A batch, and the producer's state after it.
    public struct Produced: Sendable {
        /// The batch.
        public let batch: Batch
        /// The state from which the following batch is made.
        public let stateAfter: State
    }

    private let queue: Queue

    /// Starts producing.
    ///
    /// - Parameters:
    ///   - state: The state from which the first batch is made.
    ///   - depth: The number of finished batches that wait at most.
    ///   - produce: Makes the next batch and moves the state on; `nil` ends the sequence. Runs on one background thread.
    /// - Precondition: `depth` is positive.
    public init(state: State, depth: Int = 2, produce: @escaping @Sendable (inout State) throws -> Batch?) {
        precondition(depth > 0, "a prefetcher keeps at least one batch")
        let queue = Queue(depth: depth)
        self.queue = queue
        let thread = Thread {
            var state = state
            while queue.waitForRoom() {
                do {
                    guard let batch = try produce(&state) else { return queue.end(nil) }
                    queue.append(Produced(batch: batch, stateAfter: state))
                } catch {
                    return queue.end(error)
                }
            }
            queue.end(nil)
        }
        thread.name = "unimed.prefetch"
        thread.stackSize = 8 << 20
        thread.start()
    }

    deinit { queue.cancel() }

    /// The next batch, in the order of production; waits until it is ready.
    ///
    /// - Returns: `nil` after the last batch, and after ``cancel()``.
    /// - Throws: What the producer threw, after the batches it had finished before; again at every further call.
    public func next() throws -> Produced? {
        try queue.next()
    }

    /// Stops producing, drops what is waiting, and returns when the thread has ended its current batch.
    ///
    /// Must not be called by the producer itself. A prefetcher that is released without it stops as well, without
    /// waiting.
    public func cancel() {
        queue.cancel()
        queue.waitForEnd()
    }

    /// The batches in waiting.
    ///
    /// Sendable unchecked because every access to the mutable properties holds the condition's lock.
    private final class Queue: @unchecked Sendable {
        private let condition = NSCondition()
        private let depth: Int
        private var waiting: [Produced] = []
        private var isCancelled = false
        private var hasEnded = false
        private var failure: (any Error)?

        init(depth: Int) { self.depth = depth }

        func waitForRoom() -> Bool {
            condition.withLock {
                while waiting.count >= depth && !isCancelled { condition.wait() }
                return !isCancelled
            }
        }

        func append(_ produced: Produced) {
            condition.withLock {
                if !isCancelled { waiting.append(produced) }
                condition.broadcast()
            }
        }

        func end(_ error: (any Error)?) {
            condition.withLock {
                failure = error
                hasEnded = true
                condition.broadcast()
            }
        }

        func next() throws -> Produced? {
            try condition.withLock {
                while waiting.isEmpty && !hasEnded && !isCancelled { condition.wait() }
                if isCancelled { return nil }
                if !waiting.isEmpty {
                    let first = waiting.removeFirst()
                    condition.broadcast()
                    return first
                }
                if let failure { throw failure }
                return nil
            }
        }

        func cancel() {
            condition.withLock {
                isCancelled = true
                waiting.removeAll()
                condition.broadcast()
            }
        }

        func waitForEnd() {
            condition.withLock {
                while !hasEnded { condition.wait() }
            }
        }
    }
}
