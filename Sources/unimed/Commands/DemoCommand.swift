import ArgumentParser
import Foundation
import UniMedData
import UniMedEvaluation
import UniMedImaging
import UniMedMetrics
import UniMedTraining

/// `unimed demo`: the main job in small, from nothing.
struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "The main job, small, from nothing: data, training, evaluation, one answer, a report page.",
        discussion: """
            Draws labelled synthetic studies (phantoms), trains a small Uni-Med on all six tasks, evaluates it beside \
            trivial baselines, asks it about a picture it has not seen, and writes a report page. What an earlier demo \
            left is used. It shows that the program works; phantoms teach no medicine.
            """
    )

    @Option(name: .long, help: "The recipe.", completion: .file(extensions: ["yaml"]))
    var recipe = "Recipes/demo.yaml"

    @Option(name: .customLong("run"), help: "The run's folder.", completion: .directory)
    var runFolder = "runs/demo"

    @Option(name: .long, help: "The folder in which prepared data are kept.", completion: .directory)
    var dataFolder = RunJob.standardDataFolder

    @OptionGroup var output: OutputOptions

    private struct Result: Encodable {
        let run: String
        let report: String
        let seconds: Double
        let example: Answer
        let reference: String
        let evaluation: EvaluationFile
    }

    func run() throws {
        Interruption.listen()
        let start = ContinuousClock.now
        let progress = ProgressPrinter()
        let recipeFile = URL(fileURLWithPath: recipe)
        let folder = URL(fileURLWithPath: runFolder)
        let job = RunJob(
            recipe: try Recipe.load(contentsOf: recipeFile),
            recipeFile: recipeFile,
            folder: folder,
            dataFolder: URL(fileURLWithPath: dataFolder),
            roots: DataRoots()
        )
        let data = try job.prepare(progress)
        if RunJob.isFinished(folder) {
            Terminal.note("training: \(runFolder) is there already; only what has changed is done again")
        }
        _ = try job.train(data, progress)
        let checkpoint = try ModelCheckpoint.load(from: folder, device: job.recipe.torchDevice)
        let evaluation = EvaluationJob(
            checkpoint: checkpoint,
            options: EvaluationOptions(job.recipe.evaluation),
            folder: folder.appendingPathComponent("evaluation"),
            runFolder: folder
        )
        let file = try evaluation.runUnlessDone(data, modelFolder: folder, progress)
        let example = try DemoExample(data, folder: folder)
        let answer = try example.ask(checkpoint)
        let report = evaluation.folder.appendingPathComponent("report.html")
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        if output.json {
            try Terminal.output(
                json: Result(
                    run: folder.path,
                    report: report.path,
                    seconds: seconds,
                    example: answer,
                    reference: example.sample.answer,
                    evaluation: file
                )
            )
            return
        }
        Terminal.output(file.table.text)
        Terminal.output("\(example.file.relativePath): \(answer.instruction)")
        Terminal.output("answer: \(answer.text) (reference: \(example.sample.answer))")
        Terminal.output(
            "\nask more: .build/release/unimed ask -m \(runFolder) -t vqa -i \(example.file.relativePath) 'QUESTION'"
        )
        Terminal.output("report:   \(report.relativePath)")
        Terminal.output("time:     \(ProgressBar.clock(seconds))")
    }
}

/// A validation picture that the demo asks about.
struct DemoExample {
    let sample: Sample
    /// The picture as a file, for more questions.
    let file: URL
    private let image: RGBImage

    /// Takes the first validation sample of visual question answering.
    init(_ data: PreparedData, folder: URL) throws {
        let candidates = data.indices(split: .validation, tasks: [.visualQuestionAnswering])
        // A volume is no file to ask about.
        let ofPictures = candidates.first { data.samples[$0].image?.volume == nil }
        guard let index = ofPictures, let position = data.images.position(of: data.samples[index]) else {
            throw Failure.failed("\(data.folder.path): no validation sample of vqa with its picture")
        }
        let size = data.images.size
        let pixels = data.images.withPixels(at: position) { [UInt8]($0) }
        sample = data.samples[index]
        image = RGBImage(width: size, height: size, pixels: pixels)
        file = folder.appendingPathComponent("example.png")
        try AtomicFile.write(Data(try PNGEncoder.encode(image)), to: file)
    }

    func ask(_ checkpoint: ModelCheckpoint) throws -> Answer {
        let request = ModelRequest(
            task: sample.task,
            text: sample.question,
            image: ImageReference(path: "", width: image.width, height: image.height)
        )
        return try Answer(checkpoint, request, picture: AskedImage(image))
    }
}
