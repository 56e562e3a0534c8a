import Foundation
import Synchronization
import Testing
import UniMedData

@Suite("Batch prefetcher")
struct BatchPrefetcherTests {
    private struct Failure: Error, Equatable {}

    private func untilTrue(_ condition: () -> Bool) {
        let deadline = Date(timeIntervalSinceNow: 10)
        while !condition() && Date() < deadline { Thread.sleep(forTimeInterval: 0.002) }
    }

    @Test(arguments: [1, 2, 7]) func `batches arrive in order and the sequence ends`(depth: Int) throws {
        let prefetcher = BatchPrefetcher(state: 0, depth: depth) { (state: inout Int) -> Int? in
            guard state < 100 else { return nil }
            defer { state += 1 }
            return state * state
        }
        for number in 0..<100 {
            let produced = try #require(try prefetcher.next())
            #expect(produced.batch == number * number)
            #expect(produced.stateAfter == number + 1)
        }
        #expect(try prefetcher.next() == nil)
        #expect(try prefetcher.next() == nil)
    }

    @Test func `a prefetcher started from a kept state continues exactly, whatever was made ahead`() throws {
        let tasks = [MedicalTask](repeating: .imageClassification, count: 37)
        let make: @Sendable (inout MixtureSampler) throws -> [MixtureDraw]? = { $0.nextBatch(of: 4) }
        let whole = BatchPrefetcher(state: try MixtureSampler(tasks: tasks, seed: 2), depth: 3, produce: make)
        var expected: [[MixtureDraw]] = []
        for _ in 0..<40 { expected.append(try #require(try whole.next()).batch) }

        let first = BatchPrefetcher(state: try MixtureSampler(tasks: tasks, seed: 2), depth: 5, produce: make)
        var batches: [[MixtureDraw]] = []
        var kept: MixtureSampler.State?
        for _ in 0..<17 {
            let produced = try #require(try first.next())
            batches.append(produced.batch)
            kept = produced.stateAfter.state
        }
        first.cancel()
        let state = try #require(kept)
        let second = BatchPrefetcher(state: try MixtureSampler(tasks: tasks, state: state), depth: 1, produce: make)
        while batches.count < 40 { batches.append(try #require(try second.next()).batch) }
        #expect(batches == expected)
    }

    @Test func `an error comes after the batches before it, and again`() throws {
        let prefetcher = BatchPrefetcher(state: 0, depth: 4) { (state: inout Int) throws -> Int? in
            state += 1
            if state == 3 { throw Failure() }
            return state
        }
        #expect(try prefetcher.next()?.batch == 1)
        #expect(try prefetcher.next()?.batch == 2)
        #expect(throws: Failure.self) { try prefetcher.next() }
        #expect(throws: Failure.self) { try prefetcher.next() }
    }

    @Test func `no more batches wait than the depth`() throws {
        let made = Mutex(0)
        let prefetcher = BatchPrefetcher(state: 0, depth: 3) { (_: inout Int) -> Int? in
            made.withLock { $0 += 1 }
            return 0
        }
        untilTrue { made.withLock { $0 } == 3 }
        Thread.sleep(forTimeInterval: 0.05)
        #expect(made.withLock { $0 } == 3)
        _ = try prefetcher.next()
        untilTrue { made.withLock { $0 } == 4 }
        #expect(made.withLock { $0 } == 4)
    }

    @Test func `a cancelled prefetcher gives nothing more and its thread has ended`() throws {
        final class Token: Sendable {}
        weak var token: Token?
        do {
            let strong = Token()
            token = strong
            let prefetcher = BatchPrefetcher(state: strong, depth: 2) { (_: inout Token) -> Int? in 1 }
            #expect(try prefetcher.next()?.batch == 1)
            prefetcher.cancel()
            #expect(try prefetcher.next() == nil)
        }
        untilTrue { token == nil }
        #expect(token == nil)
    }

    @Test func `a released prefetcher lets its thread end`() throws {
        final class Token: Sendable {}
        weak var token: Token?
        do {
            let strong = Token()
            token = strong
            let prefetcher = BatchPrefetcher(state: strong, depth: 2) { (_: inout Token) -> Int? in 1 }
            _ = try prefetcher.next()
        }
        untilTrue { token == nil }
        #expect(token == nil)
    }
}
