import Foundation
import UniMedData
import UniMedImaging
import UniMedImporters

/// What preparing pictures costs beside one Python process with Pillow and NumPy on the same files.
///
/// Both sides read and decode every file, convert it to RGB, resize it bicubically to 224 x 224 and write its bytes into a
/// file. Ours is the whole of `unimed data prepare`, with digests and synchronised files, on all cores.
struct ImageBenchmark {
    let peer: PeerProcess?
    let rounds: Int
    /// A folder with PNG and JPEG files; `nil` makes some.
    let folder: URL?
    /// The width and height of the results.
    var size = 224
    /// The number of made files.
    var madeCount = 48

    private struct Request: Encodable {
        let command = "images"
        let files: [String]
        let size: Int
        let output: String
    }
    private struct Answer: Decodable {
        let seconds: Double
        let pillow: String
    }

    /// The results, and what stands below the table.
    struct Outcome {
        var results: [BenchmarkResult]
        var notes: [String]
    }

    /// Times both sides in turns; the first round warms up and is not counted.
    func run(_ progress: ProgressPrinter) throws -> Outcome {
        let temporary = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-bench-\(UUID())")
        try FileManager.default.createDirectory(at: temporary, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: temporary) }
        let files = try folder.map(Self.files) ?? makeFiles(temporary, progress)
        let threads = ProcessInfo.processInfo.activeProcessorCount
        let output = temporary.appendingPathComponent("peer.bin")
        let request = Request(files: files.map(\.path), size: size, output: output.path)
        var (ours, theirs): ([Double], [Double]) = ([], [])
        var (pillow, difference): (String?, Double?)
        var peaks: [Double] = []
        for round in 0...rounds {
            try Interruption.check()
            let target = temporary.appendingPathComponent("ours-\(round)")
            Self.forgetPeak()
            let start = ContinuousClock.now
            let preparation = try DatasetPreparation(
                importers: [BenchmarkPictures(files: files)],
                imageSize: size,
                threadCount: threads
            )
            let data = try preparation.prepare(into: target).data
            let own = (ContinuousClock.now - start) / .seconds(1)
            peaks.append(Self.peakBytes())
            guard data.images.fileCount == files.count else {
                throw Failure.badInput(
                    "\(files.count - data.images.fileCount) of \(files.count) pictures cannot be read"
                )
            }
            let other = try peer.map { try $0.request(request, Answer.self) }
            pillow = other?.pillow
            if round == 0, other != nil { difference = try compare(data, output) }
            try FileManager.default.removeItem(at: target)
            guard round > 0 else { continue }
            ours.append(own)
            if let other { theirs.append(other.seconds) }
            progress.show("pictures", round, of: rounds, unit: "rounds")
        }
        progress.finish()
        let perPicture = { (seconds: [Double]) in seconds.map { $0 * 1000 / Double(files.count) } }
        let result = BenchmarkResult(
            "preparing a picture, \(size) x \(size)",
            unit: "ms",
            ours: perPicture(ours),
            peer: peer == nil ? nil : perPicture(theirs),
            goal: .speed(atLeast: 2, as: "as fast as Pillow and NumPy in one process")
        )
        var notes = notes(result, files, threads, pillow, difference, peaks)
        notes.append(try openingNote(temporary))
        return Outcome(results: [result], notes: notes)
    }

    // MARK: Many files

    /// The number of image files of a large folder of prepared data.
    private static let manyFiles = 140_000
    /// What opening it may take more than opening a small one; a table of its paths on the heap takes 32 MB.
    private static let openingLimit = 1e6
    private static let openingCount = 8

    /// Opens the paths of many image files and measures what that takes.
    ///
    /// - Throws: ``Failure`` when it is more than opening a few takes.
    private func openingNote(_ folder: URL) throws -> String {
        let few = try openingBytes(1000, folder.appendingPathComponent("few"))
        let many = try openingBytes(Self.manyFiles, folder.appendingPathComponent("many"))
        let megabytes = String(format: "%.1f MB", max(0, many.memory) / 1e6)
        guard many.memory - max(0, few.memory) < Self.openingLimit else {
            throw Failure.failed("opening \(Self.manyFiles) image files takes \(megabytes) of memory")
        }
        return "Opening the paths of \(Self.manyFiles) image files takes \(megabytes) of memory (of 1000, "
            + String(format: "%.1f MB) and %.0f ms; ", max(0, few.memory) / 1e6, many.seconds * 1000)
            + String(format: "their table has %.0f bytes a file on the disk.", many.diskBytes / Double(Self.manyFiles))
    }

    private func openingBytes(
        _ count: Int,
        _ folder: URL
    ) throws -> (memory: Double, seconds: Double, diskBytes: Double) {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        func path(_ number: Int) -> String { "images/patient-\(number / 4)/study-\(number / 2)/\(number).png" }
        var writer = ImageShardWriter(folder: folder, size: 1)
        for number in 0..<count {
            let shade = UInt8(number % 200)
            // The digest only has to tell the pictures apart.
            _ = try writer.append([shade, shade, shade], digest: "\(shade)", dataset: "benchmark", path: path(number))
        }
        try writer.finish()
        // Opened several times: what the heap has free after writing is not enough to hide tables in.
        let before = Self.heapBytes()
        let start = ContinuousClock.now
        let openings = try (0..<Self.openingCount).map { _ in try ImageShards(opening: folder) }
        let seconds = (ContinuousClock.now - start) / .seconds(1) / Double(Self.openingCount)
        let memory = (Self.heapBytes() - before) / Double(Self.openingCount)
        for number in stride(from: 0, to: count, by: 97) {
            let images = openings[number % Self.openingCount]
            guard images.position(dataset: "benchmark", path: path(number)) == number % 200 else {
                throw Failure.failed("the picture of image file \(number) of \(count) is not found")
            }
        }
        let table = folder.appendingPathComponent("images.index")
        let size = try table.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0
        return (memory, seconds, Double(size))
    }

    private func notes(
        _ result: BenchmarkResult,
        _ files: [URL],
        _ threads: Int,
        _ pillow: String?,
        _ difference: Double?,
        _ peaks: [Double]
    ) -> [String] {
        let bytes = files.compactMap { try? $0.resourceValues(forKeys: [.fileSizeKey]).fileSize }.reduce(0, +)
        let rate = { (milliseconds: Double) in String(format: "%.0f", 1000 / milliseconds) }
        var note = "Pictures: \(files.count) \(folder == nil ? "made " : "")PNG and JPEG files, "
        note += String(format: "%.1f MB; ", Double(bytes) / 1e6)
        note += "\(rate(result.ours)) pictures a second on \(threads) threads"
        if let peer = result.peer, let pillow { note += ", Pillow \(pillow) \(rate(peer)) in one process" }
        if let difference {
            note += String(format: "; the pixels differ by %.3f of 255 levels on average", difference)
        }
        if let first = peaks.first, let last = peaks.last {
            note += String(format: "; peak of resident memory %.0f MB in the first round, ", first / 1e6)
            note += String(format: "%.0f MB in the last", last / 1e6)
        }
        return [note + "."]
    }

    /// The mean difference of all pixels; other versions of Pillow decode and round differently by a few levels.
    private func compare(_ data: PreparedData, _ output: URL) throws -> Double {
        let theirs = try Data(contentsOf: output)
        let length = data.images.pictureByteCount
        guard theirs.count == data.samples.count * length else {
            throw Failure.failed("the peer wrote \(theirs.count) bytes for \(data.samples.count) pictures")
        }
        var sum = 0
        for (number, sample) in data.samples.enumerated() {
            guard let position = data.images.position(of: sample) else { continue }
            data.images.withPixels(at: position) { pixels in
                theirs.withUnsafeBytes { other in
                    for index in 0..<length { sum += abs(Int(pixels[index]) - Int(other[number * length + index])) }
                }
            }
        }
        let difference = Double(sum) / Double(theirs.count)
        guard difference < 2 else {
            throw Failure.failed(
                "the peer's pictures are not ours: the pixels differ by \(difference) levels on average"
            )
        }
        return difference
    }

    // MARK: Files

    /// The pictures of a folder and the folders in it.
    private static func files(of folder: URL) throws -> [URL] {
        let names = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: [.fileSizeKey])
        let endings: Set<String> = ["png", "jpg", "jpeg"]
        let files = (names?.compactMap { $0 as? URL } ?? []).filter { endings.contains($0.pathExtension.lowercased()) }
        guard !files.isEmpty else { throw Failure.badInput("\(folder.path): no PNG or JPEG file in it") }
        return files.sorted { $0.path < $1.path }
    }

    /// Pictures of 512 to 1024 pixels a side, smooth with a little noise, as PNG and JPEG in turns.
    private func makeFiles(_ folder: URL, _ progress: ProgressPrinter) throws -> [URL] {
        let sizes = [(512, 512), (640, 512), (768, 640), (1024, 768), (1024, 1024)]
        return try (0..<madeCount).map { number in
            let (width, height) = sizes[number / 2 % sizes.count]
            var generator = SeededGenerator.derived(from: 1, label: "picture \(number)")
            let (across, down) = (generator.uniform(in: 15..<60), generator.uniform(in: 15..<60))
            let columns = (0..<width).map { Int(60 * sin(Double($0) / across)) }
            let rows = (0..<height).map { Int(50 * cos(Double($0) / down)) }
            let pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { pixels, count in
                for y in 0..<height {
                    for x in 0..<width {
                        let noise = generator.next()
                        for channel in 0..<3 {
                            let level = 120 + columns[x] + rows[y] + 4 * channel + Int(noise >> (8 * channel) & 7)
                            pixels[(y * width + x) * 3 + channel] = UInt8(max(0, min(255, level)))
                        }
                    }
                }
                count = width * height * 3
            }
            let image = RGBImage(width: width, height: height, pixels: pixels)
            let isPNG = number.isMultiple(of: 2)
            let file = folder.appendingPathComponent(String(format: "%03d.%@", number, isPNG ? "png" : "jpg"))
            try Data(isPNG ? PNGEncoder.encode(image) : JPEGEncoder.encode(image, quality: 90)).write(to: file)
            progress.show("files", number + 1, of: madeCount, unit: "files")
            return file
        }
    }

    // MARK: Memory

    /// Lets the peak of resident memory begin anew, where the system can.
    private static func forgetPeak() {
        try? "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)
    }

    /// The resident memory that is not a mapped file's.
    private static func heapBytes() -> Double { statusBytes("RssAnon:") }

    private static func peakBytes() -> Double { statusBytes("VmHWM:") }

    private static func statusBytes(_ name: String) -> Double {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix(name) }
        let kilobytes = line.flatMap { Double($0.split(whereSeparator: { $0 == " " || $0 == "\t" })[1]) }
        return (kilobytes ?? .nan) * 1024
    }
}

/// Files as a data set: one question to each picture.
private struct BenchmarkPictures: DatasetImporter {
    static let name = "benchmark"
    static let version = 1

    let files: [URL]
    let dataset = "benchmark"
    let settings: [String: String] = [:]

    func sourceFiles() throws(ImportError) -> [SourceFile] { files.map { SourceFile(path: $0.path, url: $0) } }

    func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        var dataset = ImportedDataset()
        report.found(files.count, "cls")
        for file in files {
            do throws(ImagingError) {
                let size = try ImageFile.size(of: file)
                dataset.samples.append(
                    Sample(
                        id: file.path,
                        dataset: self.dataset,
                        split: .train,
                        task: .imageClassification,
                        image: ImageReference(path: file.path, width: size.width, height: size.height),
                        question: "What is it?",
                        answer: "a picture"
                    )
                )
                report.imported(1, "cls")
            } catch {
                report.skipped("cls", because: error.kind.rawValue, item: file.path)
            }
        }
        return dataset
    }

    func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: URL(fileURLWithPath: reference.path))
    }
}
