import Foundation
public import UniMedData
public import UniMedModel
import UniMedTasks

/// One question to a model, as a person or a server asks it.
public struct ModelRequest: Sendable, Equatable {
    /// The task.
    public var task: MedicalTask
    /// The question (qa, vqa, cls), the object's name (rec), or the wish in words (rg, where it may be missing).
    public var text: String?
    /// The picture or volume and its size before any resizing; `nil` without one.
    public var image: ImageReference?
    /// The box that is asked about (reg), in pixels of the original image.
    public var box: BoundingBox?
    /// The slices that the box spans (reg), in slices of the original volume; `nil` for a picture.
    public var boxSlices: SliceRange?
    /// The classes (cls), where the question does not list them; for any task the answers there may be, where they are to
    /// be constrained.
    public var choices: [String]?
    /// How the picture was taken, which only a hard router by modality needs to know.
    public var modality: String?
    /// How the answer is generated; `nil` leaves it to who answers.
    public var generation: GenerationOptions?

    /// Makes a request.
    ///
    /// - Parameters:
    ///   - task: The task.
    ///   - text: The question, the object's name or the wish; see ``text``.
    ///   - image: The picture and its size before any resizing; `nil` without a picture.
    ///   - box: The box that is asked about, in pixels of the original image.
    ///   - boxSlices: The slices that the box spans; see ``boxSlices``.
    ///   - choices: The classes, or the answers there may be; see ``choices``.
    ///   - modality: How the picture was taken; see ``modality``.
    ///   - generation: How the answer is generated; `nil` leaves it to who answers.
    public init(
        task: MedicalTask,
        text: String? = nil,
        image: ImageReference? = nil,
        box: BoundingBox? = nil,
        boxSlices: SliceRange? = nil,
        choices: [String]? = nil,
        modality: String? = nil,
        generation: GenerationOptions? = nil
    ) {
        self.task = task
        self.text = text
        self.image = image
        self.box = box
        self.boxSlices = boxSlices
        self.choices = choices
        self.modality = modality
        self.generation = generation
    }

    /// What the model reads, without the task's tag.
    ///
    /// A question in words is asked as it is; an object's name or a box is put into one of the task's templates, as in
    /// training.
    ///
    /// - Parameter templateSeed: The seed with which the template is drawn.
    /// - Throws: ``EvaluationError/invalidOption(field:expected:got:)`` that names what is missing or too much.
    public func instruction(templateSeed: UInt64 = 0) throws(EvaluationError) -> String {
        try check()
        if let text, [.questionAnswering, .visualQuestionAnswering, .reportGeneration].contains(task) { return text }
        let instruction: String
        do throws(TaskError) {
            instruction = try TaskRegistry.definition(of: task).instruction(for: sample, templateSeed: templateSeed)
        } catch {
            throw .task(error)
        }
        let tag = task.promptTag + " "
        return instruction.hasPrefix(tag) ? String(instruction.dropFirst(tag.count)) : instruction
    }

    /// The request as a sample without an answer.
    private var sample: Sample {
        Sample(
            id: "request",
            dataset: "",
            split: .test,
            task: task,
            image: image,
            question: task == .imageClassification ? text : nil,
            objectName: task == .referringExpressionComprehension ? text : nil,
            box: box,
            boxSlices: boxSlices,
            choices: choices,
            answer: ""
        )
    }

    private func check() throws(EvaluationError) {
        if task.usesImage, image == nil {
            throw .invalidOption(field: "image", expected: "a picture for the task \(task.rawValue)", got: "none")
        }
        if !task.usesImage, image != nil {
            throw .invalidOption(field: "image", expected: "none for the task \(task.rawValue)", got: "a picture")
        }
        if let text, text.allSatisfy(\.isWhitespace) {
            throw .invalidOption(field: "question", expected: "a text", got: "an empty one")
        }
        switch task {
        case .questionAnswering, .visualQuestionAnswering:
            guard text != nil else { throw missing("question", "a question") }
        case .referringExpressionComprehension:
            guard text != nil else { throw missing("question", "the name of an object") }
        case .imageClassification:
            guard text != nil || choices?.isEmpty == false else {
                throw missing("question", "a question that lists the classes, or the classes")
            }
        case .referringExpressionGeneration:
            guard let box, let image else { throw missing("box", "a box in pixels of the image") }
            guard [box.xMin, box.yMin, box.xMax, box.yMax].allSatisfy(\.isFinite), box.area > 0, box.xMin >= 0,
                box.yMin >= 0, box.xMax <= Double(image.width), box.yMax <= Double(image.height)
            else {
                throw .invalidOption(
                    field: "box",
                    expected: "x0 < x1 and y0 < y1 inside the image of \(image.width) x \(image.height) pixels",
                    got: "(\(box.xMin), \(box.yMin)) to (\(box.xMax), \(box.yMax))"
                )
            }
            try checkSlices(of: image)
        case .reportGeneration: break
        }
        if let volume = image?.volume, volume.slices < 1 {
            throw .invalidOption(field: "image", expected: "a volume with slices", got: "none")
        }
        if box != nil || boxSlices != nil, task != .referringExpressionGeneration {
            throw .invalidOption(field: "box", expected: "none for the task \(task.rawValue)", got: "a box")
        }
    }

    private func checkSlices(of image: ImageReference) throws(EvaluationError) {
        guard let volume = image.volume else {
            if boxSlices == nil { return }
            throw .invalidOption(field: "boxSlices", expected: "none for a picture", got: "a range of slices")
        }
        guard let boxSlices else { throw missing("boxSlices", "the slices of the box in the volume") }
        guard boxSlices.start.isFinite, boxSlices.end.isFinite, boxSlices.length > 0, boxSlices.start >= 0,
            boxSlices.end <= Double(volume.slices)
        else {
            throw .invalidOption(
                field: "boxSlices",
                expected: "a range of the \(volume.slices) slices of the volume",
                got: "\(boxSlices.start) to \(boxSlices.end)"
            )
        }
    }

    private func missing(_ field: String, _ expected: String) -> EvaluationError {
        .invalidOption(field: field, expected: "\(expected) for the task \(task.rawValue)", got: "none")
    }
}
