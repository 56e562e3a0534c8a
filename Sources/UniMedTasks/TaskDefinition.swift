public import UniMedData
public import UniMedMetrics

/// What a model's answer says, in the form its task asks for.
public enum ParsedAnswer: Sendable, Equatable {
    /// Words: an answer, a report, a name or a class.
    case text(String)
    /// A box.
    case box(NormalizedBox)
    /// A box in a volume.
    case box3D(NormalizedBox3D)
    /// The answer has not the form the task asks for.
    case unparsable
}

/// One of the tasks: how it asks, what the model shall answer, and how answers are read and scored.
///
/// A task has one Swift name, one short code and one prompt tag, which stand in ``UniMedData/MedicalTask``; everything
/// else about it stands in its own file, and ``TaskRegistry`` lists it.
public protocol TaskDefinition: Sendable {
    /// Which task this is.
    var task: MedicalTask { get }
    /// The ways of asking (Uni-Med, appendix C).
    var templates: TemplatePools { get }
    /// The metric that stands for the task.
    var primaryMetric: Metric { get }
    /// All metrics a sample may be scored by, the primary one first.
    var metrics: [Metric] { get }

    /// The instruction of a sample, with the task's tag, for example `[refer] Where is liver?`.
    ///
    /// The template is drawn from the pool of the sample's data set. The draw depends on the seed, the data set and the
    /// sample's identifier alone.
    ///
    /// - Parameters:
    ///   - sample: A sample of this task.
    ///   - templateSeed: The seed of the draw.
    /// - Returns: The text between the image and the end of the instruction in the prompt.
    /// - Throws: ``TaskError`` when the sample lacks what the template asks for or belongs to another task.
    func instruction(for sample: Sample, templateSeed: UInt64) throws(TaskError) -> String

    /// What a sample puts into a place of a template.
    ///
    /// - Throws: ``TaskError`` when the sample lacks it.
    func value(of place: InstructionTemplate.Place, for sample: Sample) throws(TaskError) -> String

    /// What the model shall answer.
    ///
    /// - Throws: ``TaskError`` when the sample lacks it.
    func target(for sample: Sample) throws(TaskError) -> String

    /// What a model's answer says.
    func parse(_ answer: String, for sample: Sample) -> ParsedAnswer

    /// How well a model's answer agrees with the reference.
    ///
    /// An answer that cannot be parsed is scored like any other, usually with zeros, and marked.
    ///
    /// - Throws: ``TaskError`` when the sample lacks its reference.
    func score(prediction: String, for sample: Sample) throws(TaskError) -> SampleScore
}

public extension TaskDefinition {
    /// The instruction of a sample, drawn from the pool of its data set.
    func instruction(for sample: Sample, templateSeed: UInt64) throws(TaskError) -> String {
        try drawnInstruction(for: sample, templateSeed: templateSeed)
    }

    /// What a sample puts into a place of a template.
    func value(of place: InstructionTemplate.Place, for sample: Sample) throws(TaskError) -> String {
        try sample.value(of: place)
    }

    /// What the model shall answer: the reference, cleaned and cut at 50 words as the published code does.
    func target(for sample: Sample) throws(TaskError) -> String {
        try sample.referenceText()
    }

    /// What a model's answer says: its text, unless the word normaliser leaves nothing of it.
    func parse(_ answer: String, for sample: Sample) -> ParsedAnswer {
        let cleaned = WordNormalizer.cleanedPrediction(answer)
        return WordNormalizer.words(cleaned).isEmpty ? .unparsable : .text(cleaned)
    }
}

extension TaskDefinition {
    /// The instruction with a template from the pool of the sample's data set.
    func drawnInstruction(for sample: Sample, templateSeed: UInt64) throws(TaskError) -> String {
        guard sample.task == task else { throw .wrongTask(expected: task, got: sample.task) }
        let pool = templates.pool(of: sample.dataset)
        var generator = SeededGenerator.derived(from: templateSeed, label: sample.dataset + "/" + sample.id)
        let template = pool[generator.integer(below: pool.count)]
        let text = try template.filled { (place: InstructionTemplate.Place) throws(TaskError) in
            try value(of: place, for: sample)
        }
        return task.promptTag + " " + text
    }

    /// The choice that an answer names, among a sample's closed set of answers.
    func parseChoice(_ answer: String, among choices: [String]) -> ParsedAnswer {
        for choice in choices where ExactMatch.isMatch(answer, reference: choice) {
            return .text(choice)
        }
        return .unparsable
    }
}

extension Sample {
    /// What the sample puts into a place of a template.
    func value(of place: InstructionTemplate.Place) throws(TaskError) -> String {
        switch place {
        case .question: try questionText().inSentence
        case .sentenceQuestion: try questionText().atSentenceStart
        case .name: try required(objectName, "objectName").inSentence
        case .sentenceName: try required(objectName, "objectName").atSentenceStart
        case .box: try boxText()
        case .subject: "image"
        case .choices: try required(choices, "choices").enumeration
        }
    }

    /// A field the task cannot do without.
    func required<Value: Collection>(_ value: Value?, _ field: String) throws(TaskError) -> Value {
        guard let value, !value.isEmpty else {
            throw .missingField(field: field, task: task, dataset: dataset, sampleID: id)
        }
        return value
    }

    /// The question with its white space cleaned; the published code also cuts it at 50 words, which loses the question
    /// of a long case.
    private func questionText() throws(TaskError) -> String {
        try required(ReferenceTextProcessor(maximumWordCount: .max)(question ?? ""), "question")
    }

    /// The reference in words, as the published code trains on and compares with.
    func referenceText() throws(TaskError) -> String {
        try required(ReferenceTextProcessor()(answer), "answer")
    }

    /// The annotated box and the image it lies in.
    func annotatedBox() throws(TaskError) -> (box: BoundingBox, image: ImageReference) {
        guard let box else { throw .missingField(field: "box", task: task, dataset: dataset, sampleID: id) }
        guard let image else { throw .missingField(field: "image", task: task, dataset: dataset, sampleID: id) }
        let isOrdinary = [box.xMin, box.yMin, box.xMax, box.yMax].allSatisfy { abs($0) < 1e9 }
        guard isOrdinary, box.area > 0, image.width > 0, image.height > 0 else {
            throw .invalidBox(box: box, dataset: dataset, sampleID: id)
        }
        return (box, image)
    }

    /// The annotated box in a volume and the stack it lies in; `nil` for a sample of an image.
    func annotatedBox3D() throws(TaskError) -> (box: BoundingBox3D, image: ImageReference, slices: Int)? {
        guard let slices = image?.volume?.slices else { return nil }
        let (box, image) = try annotatedBox()
        guard let range = boxSlices else {
            throw .missingField(field: "boxSlices", task: task, dataset: dataset, sampleID: id)
        }
        guard slices > 0, abs(range.start) < 1e9, abs(range.end) < 1e9, range.length > 0 else {
            throw .invalidSlices(range: range, dataset: dataset, sampleID: id)
        }
        return (BoundingBox3D(box: box, slices: range), image, slices)
    }

    /// The annotated box as the model speaks it: of four numbers, or of six in a volume.
    func boxText() throws(TaskError) -> String {
        if let (box, image, slices) = try annotatedBox3D() {
            return NormalizedBox3D(box, width: image.width, height: image.height, slices: slices).text()
        }
        let (box, image) = try annotatedBox()
        return NormalizedBox(box, width: image.width, height: image.height).text()
    }
}

extension [String] {
    /// A list in words: `a, b, or c`.
    var enumeration: String {
        switch count {
        case 0...1: joined()
        case 2: joined(separator: " or ")
        default: dropLast().joined(separator: ", ") + ", or " + self[count - 1]
        }
    }
}
