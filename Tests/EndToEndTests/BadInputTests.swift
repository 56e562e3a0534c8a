import Foundation
import Testing
import UniMedData

/// Every kind of bad input: status 2, one line that names the file and what is wrong with it, nothing half-written.
@Suite("Bad input")
struct BadInputTests {
    private func expectRefusal(
        _ result: Program.Result,
        naming texts: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(result.status == 2, "\(result.errors)", sourceLocation: sourceLocation)
        #expect(result.output.isEmpty, sourceLocation: sourceLocation)
        #expect(result.failureLines.count == 1, "\(result.errors)", sourceLocation: sourceLocation)
        #expect(
            result.errors.split(separator: "\n").last.map(String.init) == result.failureLines.first,
            "\(result.errors)",
            sourceLocation: sourceLocation
        )
        for text in texts {
            #expect(
                result.failureLines.first?.contains(text) == true,
                "\(result.errors)",
                sourceLocation: sourceLocation
            )
        }
    }

    /// A copy of the finished model that a test may damage.
    private func copyOfModel(in folder: TemporaryFolder) throws -> URL {
        let copy = folder.url.appendingPathComponent("model")
        try FileManager.default.copyItem(at: try TinyRun.shared().model, to: copy)
        return copy
    }

    private func ask(_ model: URL) throws -> Program.Result {
        try Program.run(["ask", "-m", model.path, "-t", "qa", "Is it so?"])
    }

    @Test(arguments: [0, 4, 100, 5000, -1])
    func `truncated safetensors are refused`(length: Int) throws {
        let folder = try TemporaryFolder()
        let model = try copyOfModel(in: folder)
        let file = model.appendingPathComponent("model.safetensors")
        let bytes = try Data(contentsOf: file)
        try bytes.prefix(length < 0 ? bytes.count + length : length).write(to: file)
        expectRefusal(try ask(model), naming: "model.safetensors")
    }

    @Test(arguments: [2, 9, 12, 40, 200, 777])
    func `a flipped bit in the header of safetensors is refused`(byte: Int) throws {
        let folder = try TemporaryFolder()
        let model = try copyOfModel(in: folder)
        let file = model.appendingPathComponent("model.safetensors")
        var bytes = try Data(contentsOf: file)
        bytes[byte] ^= 1 << UInt8(byte % 7)
        try bytes.write(to: file)
        expectRefusal(try ask(model), naming: "model.safetensors")
    }

    @Test func `a flipped bit in a weight is refused`() throws {
        let folder = try TemporaryFolder()
        let model = try copyOfModel(in: folder)
        let file = model.appendingPathComponent("model.safetensors")
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count - 1000] ^= 4
        try bytes.write(to: file)
        expectRefusal(try ask(model), naming: "model.safetensors")
    }

    @Test func `weights of other shapes are refused with the key and both shapes`() throws {
        let folder = try TemporaryFolder()
        let model = try copyOfModel(in: folder)
        let file = model.appendingPathComponent("configuration.json")
        let text = try String(contentsOf: file, encoding: .utf8)
            .replacingOccurrences(of: "\"intermediateSize\":64", with: "\"intermediateSize\":48")
        try Data(text.utf8).write(to: file)
        expectRefusal(try ask(model), naming: "model.safetensors", "mlp.", "48", "64")
    }

    @Test func `a missing weight is refused with its key`() throws {
        let folder = try TemporaryFolder()
        let model = try copyOfModel(in: folder)
        let file = model.appendingPathComponent("model.safetensors")
        var bytes = try Data(contentsOf: file)
        let name = Data("llm.model.norm.weight".utf8)
        let range = try #require(bytes.range(of: name))
        bytes.replaceSubrange(range, with: Data("llm.model.form.weight".utf8))
        try bytes.write(to: file)
        expectRefusal(try ask(model), naming: "model.safetensors", "llm.model.norm.weight")
    }

    @Test func `an image that is text is refused`() throws {
        let folder = try TemporaryFolder()
        let image = try folder.write("This is no picture.", to: "scan.png")
        let model = try TinyRun.shared().model.path
        expectRefusal(try Program.run(["ask", "-m", model, "-t", "rg", "-i", image]), naming: "scan.png")
    }

    @Test func `an image that is not there is refused`() throws {
        let model = try TinyRun.shared().model.path
        expectRefusal(try Program.run(["ask", "-m", model, "-t", "rg", "-i", "/nowhere.png"]), naming: "/nowhere.png")
    }

    @Test func `requests without what their task needs are refused`() throws {
        let folder = try TemporaryFolder()
        let run = try TinyRun.shared()
        let image = try CommandLineTests.exampleImage(run, in: folder)
        expectRefusal(try Program.run(["ask", "-m", run.run, "-t", "vqa", "Which organ?"]), naming: "image")
        expectRefusal(try Program.run(["ask", "-m", run.run, "-t", "rec", "-i", image]), naming: "question")
        expectRefusal(try Program.run(["ask", "-m", run.run, "-t", "reg", "-i", image]), naming: "box")
        expectRefusal(
            try Program.run(["ask", "-m", run.run, "-t", "reg", "-i", image, "--box", "0,0,9,9"]),
            naming: "box",
            "1 x 1"
        )
        expectRefusal(
            try Program.run(["ask", "-m", run.run, "-t", "reg", "-i", image, "--box", "0,0,9"]),
            naming: "--box"
        )
    }

    @Test(arguments: [
        (["--top-p", "2", "--temperature", "1"], "--top-p"), (["--top-k", "5"], "--top-k"),
        (["--beams", "2", "--temperature", "1"], "--temperature"), (["--beams", "0"], "--beams"),
        (["--length-penalty", "2"], "--length-penalty"), (["--repetition-penalty", "0"], "--repetition-penalty"),
        (["--maximum-new-tokens", "0"], "--maximum-new-tokens"), (["--stop", ""], "--stop"),
    ])
    func `options of generation that cannot be met are refused by name`(options: [String], name: String) throws {
        let run = try TinyRun.shared()
        expectRefusal(try Program.run(["ask", "-m", run.run, "-t", "qa", "Why?"] + options), naming: name)
        expectRefusal(try Program.run(["evaluate", run.run, "--data-folder", run.data] + options), naming: name)
    }

    @Test func `an empty data folder is refused`() throws {
        let folder = try TemporaryFolder()
        let empty = folder.url.appendingPathComponent("empty")
        try FileManager.default.createDirectory(at: empty, withIntermediateDirectories: true)
        for importer in [
            "pubmedqa", "medqa", "medpix", "bccd", "json-lines", "llava", "csv", "class-folders", "coco", "masks",
        ] {
            let output = folder.path("out-\(importer)")
            let result = try Program.run(["data", "prepare", "--set", "\(importer)=\(empty.path)", "-o", output])
            expectRefusal(result, naming: empty.path)
            #expect(!FileManager.default.fileExists(atPath: output))
        }
        expectRefusal(try Program.run(["data", "stats", empty.path]), naming: empty.path)
        expectRefusal(try Program.run(["data", "verify", empty.path]), naming: empty.path)
        let run = try TinyRun.shared().run
        expectRefusal(try Program.run(["evaluate", run, "--data", empty.path]), naming: empty.path)
        expectRefusal(try Program.run(["ask", "-m", empty.path, "-t", "qa", "Why?"]), naming: empty.path)
    }

    @Test(arguments: [
        ("batchSize: 4", "batchsize: 4", "batchsize"), ("steps: 30", "steps: many", "training.steps"),
        ("rate: 4", "rate: 5", "resampler"), ("name: tiny", "nam: tiny", "nam"),
        ("importer: phantoms", "importer: medpix", "path"), ("seed: 3", "seed: [3", "line"),
    ])
    func `a recipe with a mistake is refused with the field`(right: String, wrong: String, field: String) throws {
        let folder = try TemporaryFolder()
        let text = TinyRun.recipe.replacingOccurrences(of: right, with: wrong)
        #expect(text != TinyRun.recipe)
        let recipe = try folder.write(text, to: "mistake.yaml")
        for command in [["describe", recipe], ["train", recipe, "--run", folder.path("run")]] {
            expectRefusal(try Program.run(command), naming: "mistake.yaml", field)
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path("run")))
    }

    @Test func `an output that cannot be written is refused`() throws {
        let folder = try TemporaryFolder()
        let recipe = try folder.write(TinyRun.recipe, to: "recipe.yaml")
        let file = try folder.write("a file, no folder", to: "file")
        let inside = file + "/run"
        let data = try TinyRun.shared().data
        expectRefusal(try Program.run(["train", recipe, "--run", inside, "--data-folder", data]), naming: inside)
        expectRefusal(try Program.run(["data", "prepare", recipe, "-o", inside]), naming: file)
        let run = try TinyRun.shared().run
        expectRefusal(
            try Program.run(["evaluate", run, "--data-folder", data, "--limit", "1", "-o", inside]),
            naming: inside
        )
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.url.path).sorted() == ["file", "recipe.yaml"]
        )
    }

    @Test func `a folder with something else in it is not overwritten`() throws {
        let folder = try TemporaryFolder()
        let recipe = try folder.write(TinyRun.recipe, to: "recipe.yaml")
        let note = try folder.write("mine", to: "out/notes.txt")
        expectRefusal(
            try Program.run(["data", "prepare", recipe, "-o", folder.path("out")]),
            naming: folder.path("out")
        )
        #expect(try String(contentsOfFile: note, encoding: .utf8) == "mine")
    }

    // Needs the right to mount a small file system; elsewhere the test is skipped.
    @Test(.enabled(if: SmallDisk.isPossible, "only root can mount a small file system"))
    func `no space left is refused and leaves nothing half-written`() throws {
        let folder = try TemporaryFolder()
        let recipe = try folder.write(TinyRun.recipe, to: "recipe.yaml")
        let disk = try SmallDisk(at: folder.url.appendingPathComponent("disk"), kilobytes: 160)
        defer { disk.unmount() }
        let prepared = disk.url.appendingPathComponent("prepared")
        let result = try Program.run(["data", "prepare", recipe, "-o", prepared.path])
        expectRefusal(result, naming: disk.url.path, "No space left")
        #expect(try FileManager.default.contentsOfDirectory(atPath: disk.url.path).isEmpty)

        let run = disk.url.appendingPathComponent("run")
        let data = try TinyRun.shared().data
        let trained = try Program.run(["train", recipe, "--run", run.path, "--data-folder", data])
        expectRefusal(trained, naming: disk.url.path, "No space left")
        #expect(!FileManager.default.fileExists(atPath: run.appendingPathComponent("model").path))
        let names = FileManager.default.enumerator(atPath: run.path)?.compactMap { $0 as? String } ?? []
        #expect(!names.contains { $0.hasSuffix(".partial") }, "\(names)")
    }
}

/// A file system of a few kilobytes.
struct SmallDisk {
    let url: URL

    static let isPossible: Bool = {
        guard getuid() == 0, let disk = try? TemporaryFolder() else { return false }
        guard let small = try? SmallDisk(at: disk.url.appendingPathComponent("probe"), kilobytes: 64) else {
            return false
        }
        small.unmount()
        return true
    }()

    init(at url: URL, kilobytes: Int) throws {
        self.url = url
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        guard mount("tmpfs", url.path, "tmpfs", 0, "size=\(kilobytes)k") == 0 else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EPERM)
        }
    }

    func unmount() { umount(url.path) }
}
