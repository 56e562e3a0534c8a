import ArgumentParser
import Foundation
import UniMedData
import UniMedEvaluation
import UniMedImaging
import UniMedModel
import UniMedTraining

/// `unimed ask`: one question to a model.
struct AskCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask",
        abstract: "Ask a model one question, with or without a picture.",
        discussion: """
            Tasks: qa (a question), vqa (a question about the picture), rg (a report), rec (where is the named object), \
            reg (what is in the box), cls (which of the classes). Boxes are in pixels of the original picture, with the \
            origin at the top left; the model itself speaks hundredths of width and height. A folder of pictures is a \
            volume, its slices in the order of their names; its boxes have a range of slices.

            This is research software, not a medical device: do not use its answers for patients.
            """
    )

    @Argument(help: "The question; for rec the object's name; not needed for rg and reg.")
    var question: String?

    @Option(name: .shortAndLong, help: "A run's folder, or a model's.", completion: .directory)
    var model: String

    @Option(name: .shortAndLong, help: "The task: qa, vqa, rg, rec, reg or cls.")
    var task: MedicalTask

    @Option(
        name: .shortAndLong,
        help: "The picture: PNG, JPEG, TIFF, DICOM, NIfTI or NRRD; or a folder of slices.",
        completion: .file()
    )
    var image: String?

    @Option(name: .long, help: "For a volume: the distance between neighbouring slices, in millimetres.")
    var spacing: Double?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "For reg: the box, in pixels of the picture; in a volume with the first and the last slice, from 0.",
            valueName: "x0,y0,x1,y1[,z0,z1]"
        )
    )
    var box: String?

    @Option(
        name: .long,
        help: "For cls: a class; with --constrained, for any task, an answer there may be; may be repeated."
    )
    var choice: [String] = []

    @Option(name: .long, help: "How the picture was taken, for a model whose router goes by modality.")
    var modality: String?

    @Option(name: .long, help: "Where the model lives: cpu, cuda or cuda:1.")
    var device = "cpu"

    @OptionGroup(title: "Generation") var generation: GenerationOptionGroup

    @OptionGroup var output: OutputOptions

    func run() throws {
        try generation.check()
        if let spacing, !(spacing > 0 && spacing.isFinite) || image == nil {
            throw Failure.badInput("--spacing: expected a positive number and a volume, got \(spacing)")
        }
        let picture = try image.map { try AskedImage.read($0, spacing: spacing) }
        let region = try box.map { try parsedBox($0, isVolume: picture?.reference.volume != nil) }
        var request = ModelRequest(
            task: task,
            text: question,
            image: picture?.reference,
            box: region?.box,
            boxSlices: region?.slices,
            choices: choice.isEmpty ? nil : choice,
            modality: modality
        )
        // What is missing is said before a model is loaded.
        _ = try request.instruction()
        let checkpoint = try ModelCheckpoint.load(from: URL(fileURLWithPath: model), device: parsedDevice(device))
        request.generation = try generation.applied(to: checkpoint.configuration.evaluation.generation)
        let stream = !output.json && Terminal.isOutputInteractive ? AnswerStream() : nil
        Interruption.listen()
        let answer = try Answer(
            checkpoint,
            request,
            picture: picture,
            onToken: stream.map { stream in { stream.show($0) } }
        )
        if Interruption.control.isCancelled {
            stream?.end()
            throw Failure.interrupted
        }
        if output.json {
            try Terminal.output(json: answer)
        } else if let stream {
            stream.end()
            if let pixels = answer.pixelText { Terminal.output(pixels) }
        } else {
            Terminal.output(answer.text)
        }
    }

    private func parsedBox(_ text: String, isVolume: Bool) throws(Failure) -> (box: BoundingBox, slices: SliceRange?) {
        let edges = text.split(separator: ",").compactMap { Double($0.trimmingCharacters(in: .whitespaces)) }
        let count = isVolume ? 6 : 4
        guard edges.count == count, text.split(separator: ",").count == count else {
            let form = isVolume ? "six numbers x0,y0,x1,y1,z0,z1 for a volume" : "four numbers x0,y0,x1,y1"
            throw .badInput("--box: expected \(form), got '\(text)'")
        }
        let box = BoundingBox(xMin: edges[0], yMin: edges[1], xMax: edges[2], yMax: edges[3])
        // The last slice belongs to the box.
        return (box, isVolume ? SliceRange(start: edges[4], end: edges[5] + 1) : nil)
    }
}

/// An answer on a terminal, shown as it grows.
private final class AnswerStream {
    private var shown = 0

    /// Shows what is new; the text never changes where it was shown.
    func show(_ step: GeneratedToken) -> GenerationDirective {
        let bytes = step.text.utf8
        if bytes.count > shown {
            Terminal.output(part: String(decoding: bytes.dropFirst(shown), as: UTF8.self))
            shown = bytes.count
        }
        return .proceed
    }

    /// Ends the line.
    func end() { Terminal.output("") }
}

/// An answer, as `--json` prints it.
struct Answer: Encodable {
    let task: MedicalTask
    let instruction: String
    let answer: String
    /// Why the answer ended: at its end, at a stop string, at the most tokens or because the user asked to stop.
    let finish: GeneratedAnswer.Finish
    /// For a search with beams: the sum of log probabilities divided by the length to the power of the penalty.
    let score: Double?
    /// The answer's box in hundredths of width and height, as the model speaks it.
    let normalizedBox: NormalizedBox?
    /// The same in pixels of the original picture, origin at the top left.
    let pixelBox: BoundingBox?
    /// In a volume the answer's box in hundredths of width, height and slices.
    let normalizedBox3D: NormalizedBox3D?
    /// The same in pixels and slices of the original volume; slice `i` reaches from `i` to `i + 1`.
    let voxelBox: BoundingBox3D?

    init(
        _ checkpoint: ModelCheckpoint,
        _ request: ModelRequest,
        picture: AskedImage?,
        onToken: ((GeneratedToken) -> GenerationDirective)? = nil
    ) throws {
        let size = checkpoint.configuration.preprocessing.storedSize
        let evaluator = try Evaluator(
            model: checkpoint.model,
            tokenizer: checkpoint.tokenizer,
            options: EvaluationOptions(checkpoint.configuration.evaluation),
            input: checkpoint.imageInput
        )
        let generated = try evaluator.answer(
            request,
            pixels: picture?.pixels(size: size),
            isCancelled: { Interruption.control.isCancelled },
            onToken: onToken
        )
        task = request.task
        instruction = try request.instruction()
        answer = generated.text
        finish = generated.finish
        score = generated.score
        let hasBox = request.task == .referringExpressionComprehension
        let volume = request.image?.volume
        let box3D = hasBox && volume != nil ? NormalizedBox3D(parsing: answer) : nil
        normalizedBox3D = box3D
        voxelBox = box3D.flatMap { box in
            request.image.map { box.voxels(width: $0.width, height: $0.height, slices: volume?.slices ?? 1) }
        }
        let box = hasBox && volume == nil ? NormalizedBox(parsing: answer) : nil
        normalizedBox = box
        pixelBox = box.flatMap { box in
            request.image.map { box.pixels(width: $0.width, height: $0.height) }
        }
    }

    /// The answer for a terminal.
    var text: String { [answer, pixelText].compactMap { $0 }.joined(separator: "\n") }

    /// The box in words; `nil` without one.
    var pixelText: String? {
        if let box = normalizedBox3D, let voxels = voxelBox {
            let (pixels, slices) = (voxels.box, voxels.slices)
            let edges = [pixels.xMin, pixels.xMax, pixels.yMin, pixels.yMax, slices.start, slices.end]
                .map { String(format: "%.1f", $0) }
            return """
                pixels and slices of the original volume: x \(edges[0]) to \(edges[1]), y \(edges[2]) to \(edges[3]), \
                z \(edges[4]) to \(edges[5])
                hundredths of width, height and slices: x \(box.box.xMin) to \(box.box.xMax), y \(box.box.yMin) to \
                \(box.box.yMax), z \(box.zMin) to \(box.zMax)
                """
        }
        guard let box = normalizedBox, let pixels = pixelBox else { return nil }
        let edges = [pixels.xMin, pixels.yMin, pixels.xMax, pixels.yMax].map { String(format: "%.1f", $0) }
        return """
            pixels of the original picture: x \(edges[0]) to \(edges[2]), y \(edges[1]) to \(edges[3])
            hundredths of width and height: x \(box.xMin) to \(box.xMax), y \(box.yMin) to \(box.yMax)
            """
    }
}
