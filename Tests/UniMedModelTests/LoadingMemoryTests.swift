import Foundation
import Synchronization
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedModel

/// The memory of this process that no file backs, in bytes; mapped weights are not in it.
private func anonymousMemory() -> Int {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
        let line = status.split(separator: "\n").first(where: { $0.hasPrefix("RssAnon:") }),
        let kilobytes = line.split(separator: " ").compactMap({ Int($0) }).first
    else { return -1 }
    return kilobytes * 1024
}

/// Looks at ``anonymousMemory()`` again and again on a thread of its own.
private final class MemoryWatch: Sendable {
    private let isDone = Atomic(false)
    private let highest = Atomic(0)

    /// The most that it grows while `body` runs.
    static func growth(_ body: () throws -> Void) throws -> Int {
        let watch = MemoryWatch()
        let before = anonymousMemory()
        let thread = Thread {
            while !watch.isDone.load(ordering: .relaxed) {
                watch.highest.max(anonymousMemory(), ordering: .relaxed)
                usleep(200)
            }
        }
        thread.start()
        defer { watch.isDone.store(true, ordering: .relaxed) }
        try body()
        return max(watch.highest.load(ordering: .relaxed), anonymousMemory()) - before
    }
}

/// Each test measures a process that does nothing else: memory that was freed before hides what loading takes.
@Suite("Memory of loading")
struct LoadingMemoryTests {
    /// 97 MB in float32: small beside a real one, large beside what the process does otherwise.
    private static let sizes = LlamaConfiguration(
        vocabularySize: 4000,
        hiddenSize: 512,
        intermediateSize: 2048,
        layerCount: 5,
        headCount: 8
    )

    /// The vocabulary's tables.
    private static let largest = 4000 * 512 * 4
    /// For what the process does besides: allocator, test library.
    private static let slack = 6 << 20

    private static func withCheckpoint(_ body: (_ path: String, _ size: Int) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "loading-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // Written without a model, one tensor at a time.
        let unplaced = try Llama(sizes, builder: WeightBuilder(device: .meta))
        let entries = unplaced.namedParameters().map { name, parameter in
            let shape = parameter.value.shape
            return ComputedWeights.Entry(name: name, shape: shape, dtype: .float32) { try Tensor.full(shape, 0.01) }
        }
        try ShardedSafetensors.write(ComputedWeights(entries), to: folder, maximumShardSize: 40_000_000)
        try HuggingFaceConfiguration.file(
            of: sizes,
            dtype: .float32,
            tokens: SpecialTokens(begin: 1, end: [2])
        )
        .write(to: folder.appending(path: "config.json"))
        let size = unplaced.parameterCount() * 4
        #expect(size > 90_000_000)
        try await body(folder.path, size)
    }

    // The kernel says what a process has on Linux only.
    @Test(.enabled(if: anonymousMemory() > 0, "no /proc/self/status"))
    func `a frozen model of the file's type takes no memory of its own`() async throws {
        try await Self.withCheckpoint { path, size in
            await #expect(processExitsWith: .success) { [path = path as String, size = size as Int] in
                var model: Llama?
                let growth = try MemoryWatch.growth {
                    let loaded = try Llama(Self.sizes, builder: WeightBuilder(device: .meta))
                    try loaded.freeze()
                    try loaded.load(Checkpoint.open(URL(filePath: path)))
                    model = loaded
                }
                #expect(growth < Self.slack, "\(growth) of \(size) bytes")
                // And it is all there.
                let parameters = model?.namedParameters() ?? []
                #expect(!parameters.isEmpty)
                #expect(try parameters.allSatisfy { try $0.parameter.value.maximum().item() > 0.009 })
            }
        }
    }

    @Test(.enabled(if: anonymousMemory() > 0, "no /proc/self/status"), arguments: [DType.bfloat16, .float32])
    func `a model of another type is in memory once, and one tensor of the file beside it`(dtype: DType) async throws {
        try await Self.withCheckpoint { path, size in
            let isHalf = dtype == .bfloat16
            await #expect(processExitsWith: .success) {
                [path = path as String, size = size as Int, isHalf = isHalf as Bool] in
                let dtype = isHalf ? DType.bfloat16 : .float32
                var model: Llama?
                let growth = try MemoryWatch.growth {
                    model = try Llama.load(folder: URL(filePath: path), builder: WeightBuilder(dtype: dtype))
                }
                let own = size / 4 * dtype.byteCount
                #expect(growth > own / 4 * 3, "the weights are in memory: \(growth) of \(own) bytes")
                #expect(growth < own + Self.largest + Self.slack, "\(growth) of \(own) bytes")
                #expect(model?.embedding.weight.value.dtype == dtype)
            }
        }
    }
}
