import Foundation

/// Python's side of the benchmarks: `Benchmarks/peer/peer.py` in a process of its own, one JSON object a line each way.
final class PeerProcess {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private var rest = Data()

    /// Starts the peer.
    ///
    /// - Throws: `Failure` when the interpreter or the script is not there.
    init(python: URL, script: URL) throws {
        guard FileManager.default.fileExists(atPath: script.path) else {
            throw Failure.badInput("\(script.path): no such file; run from the root of the repository")
        }
        process.executableURL = python
        // As on our side, where the tensor layer asks for them.
        process.environment = ProcessInfo.processInfo.environment.merging(["THP_MEM_ALLOC_ENABLE": "1"]) { own, _ in own
        }
        process.arguments = [script.path]
        process.standardInput = input
        process.standardOutput = output
        do {
            try process.run()
        } catch {
            throw Failure.badInput("\(python.path): cannot be started")
        }
    }

    deinit { process.terminate() }

    /// The interpreter with PyTorch: `UNIMED_PEER_PYTHON`, or the one `scripts/setup-peer` made; `nil` without one.
    static func python() -> URL? {
        let named = ProcessInfo.processInfo.environment["UNIMED_PEER_PYTHON"]
        let url = URL(fileURLWithPath: named ?? ".deps/peer/bin/python")
        return FileManager.default.isExecutableFile(atPath: url.path) ? url : nil
    }

    /// Sends one request and waits for its answer.
    func request<Answer: Decodable>(_ request: some Encodable, _ type: Answer.Type = Answer.self) throws -> Answer {
        try input.fileHandleForWriting.write(contentsOf: try JSONEncoder().encode(request) + Data("\n".utf8))
        let line = try readLine()
        do {
            return try JSONDecoder().decode(type, from: line)
        } catch {
            throw Failure.failed(
                "the peer answered something else than expected: \(String(decoding: line, as: UTF8.self))"
            )
        }
    }

    private func readLine() throws -> Data {
        while true {
            if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                let line = rest[rest.startIndex..<end]
                rest = Data(rest[rest.index(after: end)...])
                return Data(line)
            }
            let more = output.fileHandleForReading.availableData
            guard !more.isEmpty else { throw Failure.failed("the peer ended; its message stands above") }
            rest += more
        }
    }
}
