import Dispatch
import Foundation
import Synchronization

/// Does work on parts of a list with all processors; the results stand in the order of the list.
///
/// - Parameters:
///   - count: The length of the list.
///   - smallest: Parts are at least this long.
///   - body: The results of a part of it. Parts are called at the same time.
package func concurrentMap<Element: Sendable>(
    _ count: Int,
    smallest: Int = 32,
    _ body: @Sendable (Range<Int>) -> [Element]
) -> [Element] {
    let workers = ProcessInfo.processInfo.activeProcessorCount
    guard workers > 1, count >= 2 * smallest else { return body(0..<count) }
    // More parts than processors, since some take longer than others.
    let partCount = min(workers * 8, count / smallest)
    let parts = Mutex([[Element]](repeating: [], count: partCount))
    DispatchQueue.concurrentPerform(iterations: partCount) { part in
        let result = body((part * count / partCount)..<((part + 1) * count / partCount))
        parts.withLock { $0[part] = result }
    }
    return parts.withLock { Array($0.joined()) }
}

/// Work that is done beside the caller's, on another processor.
final class BackgroundWork<Value: Sendable>: Sendable {
    private let group = DispatchGroup()
    private let result: Mutex<Value?> = Mutex(nil)

    /// Begins the work.
    init(_ work: @escaping @Sendable () -> Value) {
        DispatchQueue.global(qos: .userInitiated).async(group: group) {
            let value = work()
            self.result.withLock { $0 = value }
        }
    }

    /// What the work gave, once it is done.
    var value: Value {
        group.wait()
        guard let value = result.withLock({ $0 }) else { preconditionFailure("the work has not ended") }
        return value
    }
}
