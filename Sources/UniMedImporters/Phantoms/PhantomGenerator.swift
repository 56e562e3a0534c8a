public import UniMedData
public import UniMedImaging

/// How many phantoms there are, and of what size.
public struct PhantomConfiguration: Codable, Sendable, Equatable {
    /// The width and height of the pictures, in pixels; from 64 to 1024.
    public var side: Int
    /// The number of studies for training.
    public var trainCount: Int
    /// The number of studies for validation, which are the same whatever the number for training.
    public var validationCount: Int
    /// The kinds of study, each equally frequent.
    public var kinds: [PhantomKind]
    /// The data set's name in the samples.
    public var dataset: String

    /// Makes a configuration.
    public init(
        side: Int = 224,
        trainCount: Int = 3000,
        validationCount: Int = 300,
        kinds: [PhantomKind] = PhantomKind.allCases,
        dataset: String = "phantoms"
    ) {
        self.side = side
        self.trainCount = trainCount
        self.validationCount = validationCount
        self.kinds = kinds
        self.dataset = dataset
    }
}

/// A synthetic study: a picture, what it shows, and the samples of all tasks.
public struct PhantomStudy: Sendable, Equatable {
    /// The kind of study.
    public let kind: PhantomKind
    /// What the picture shows as a whole.
    public let finding: PhantomFinding
    /// The picture.
    public let image: RGBImage
    /// Every object with its exact box, the fields, and the report.
    public let annotation: ImageAnnotation
    /// The samples: all six tasks, as far as the study has something to ask.
    public let samples: [Sample]
}

/// A seeded generator of labelled synthetic studies, so that the program has data of its own anywhere.
///
/// Study `i` depends on the seed and `i` alone: not on the order of the calls, the thread or the machine, since no
/// function of a mathematical library is used. Boxes are the exact extents of the drawn objects, and every answer
/// follows from what was drawn. The pictures imitate CT of the torso, MR of the head, chest X-ray, dermoscopy and blood
/// smears well enough to learn from; they are no medical data and teach no medicine.
public struct PhantomGenerator: Sendable {
    /// The seed of all studies.
    public let seed: UInt64
    /// The sizes and numbers.
    public let configuration: PhantomConfiguration

    /// Objects smaller than this part of the picture's side are annotated, and no task refers to them.
    public static let smallestReferredExtent = 0.09

    /// The classes of image classification, in the order in which the question lists them.
    public static let classes = PhantomFinding.allCases.map(\.rawValue)

    /// Makes a generator.
    ///
    /// - Precondition: The side is from 64 to 1024, the counts are not negative, and there is a kind.
    public init(seed: UInt64, configuration: PhantomConfiguration = PhantomConfiguration()) {
        precondition((64...1024).contains(configuration.side), "the side of a phantom is 64 to 1024 pixels")
        precondition(
            configuration.trainCount >= 0 && configuration.validationCount >= 0,
            "the number of phantoms is not negative"
        )
        precondition(!configuration.kinds.isEmpty, "there is at least one kind of phantom")
        self.seed = seed
        self.configuration = configuration
    }

    /// The number of studies; their indices count from 0, those for training first.
    public var count: Int { configuration.trainCount + configuration.validationCount }

    /// The split of a study.
    ///
    /// - Precondition: The index is in `0 ..< count`.
    public func split(at index: Int) -> Split {
        precondition((0..<count).contains(index), "there is no phantom of this index")
        return index < configuration.trainCount ? .train : .validation
    }

    /// The path of a study's picture, for example `phantom/ct-torso/000123.png`; the number is the index.
    ///
    /// - Precondition: The index is in `0 ..< count`.
    public func path(at index: Int) -> String {
        var generator = generator(at: index)
        return path(of: generator.pick(configuration.kinds), index)
    }

    /// The index of the study whose picture has a path; `nil` when there is none.
    public func index(ofPath path: String) -> Int? {
        let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard name.hasSuffix(".png"), let index = Int(name.dropLast(4)), (0..<count).contains(index),
            self.path(at: index) == path
        else { return nil }
        return index
    }

    /// The picture at a path of the annotations and samples; `nil` when no study has it.
    public func renderedImage(for path: String) -> RGBImage? {
        index(ofPath: path).map { render(at: $0, keepsMasks: false).image }
    }

    /// The picture, annotation and samples of a study.
    ///
    /// - Precondition: The index is in `0 ..< count`.
    public func study(at index: Int) -> PhantomStudy {
        let rendering = render(at: index, keepsMasks: false)
        let scene = rendering.scene
        let reference = ImageReference(
            path: path(of: rendering.kind, index),
            width: rendering.image.width,
            height: rendering.image.height
        )
        let objects = rendering.masks.map { NamedBox(name: $0.name, box: $0.box) }
        let annotation = ImageAnnotation(
            dataset: configuration.dataset,
            split: split(at: index),
            image: reference,
            objects: objects,
            fields: scene.fields,
            text: scene.report
        )
        return PhantomStudy(
            kind: rendering.kind,
            finding: scene.finding,
            image: rendering.image,
            annotation: annotation,
            samples: samples(at: index, rendering.kind, scene, annotation)
        )
    }

    /// The pixels of every object of a study, in the order of its annotation.
    ///
    /// - Precondition: The index is in `0 ..< count`.
    public func masks(at index: Int) -> [PhantomMask] {
        render(at: index, keepsMasks: true).masks
    }

    // MARK: - Drawing

    private struct Rendering {
        var kind: PhantomKind
        var scene: PhantomScene
        var image: RGBImage
        var masks: [PhantomMask]
    }

    private func path(of kind: PhantomKind, _ index: Int) -> String {
        let digits = String(index)
        let padding = String(repeating: "0", count: max(0, 6 - digits.count))
        return "phantom/\(kind.rawValue)/\(padding)\(digits).png"
    }

    /// Validation studies have numbers of their own, so that more training studies do not change them.
    private func generator(at index: Int, purpose: String = "picture") -> SeededGenerator {
        let split = split(at: index)
        let ordinal = split == .train ? index : index - configuration.trainCount
        return SeededGenerator.derived(from: seed, label: "phantom \(purpose) \(split.rawValue) \(ordinal)")
    }

    private func render(at index: Int, keepsMasks: Bool) -> Rendering {
        var generator = generator(at: index)
        let kind = generator.pick(configuration.kinds)
        func draw<Painter: PhantomPainter>(_ painter: Painter.Type) -> Rendering {
            let color = painter.background(&generator)
            let canvas = PhantomCanvas(
                side: configuration.side,
                color: color,
                keepsMasks: keepsMasks,
                generator: &generator
            )
            let scene = painter.paint(on: canvas, &generator)
            let image = canvas.image(noise: scene.noise, isGray: scene.isGray, generator: &generator)
            return Rendering(kind: kind, scene: scene, image: image, masks: canvas.masks)
        }
        return switch kind {
        case .ctTorso: draw(CTTorsoPhantom.self)
        case .mrHead: draw(MRHeadPhantom.self)
        case .chestXRay: draw(ChestXRayPhantom.self)
        case .dermoscopy: draw(DermoscopyPhantom.self)
        case .bloodSmear: draw(BloodSmearPhantom.self)
        }
    }

    // MARK: - Samples

    private func samples(
        at index: Int,
        _ kind: PhantomKind,
        _ scene: PhantomScene,
        _ annotation: ImageAnnotation
    ) -> [Sample] {
        var generator = generator(at: index, purpose: "questions")
        let stem = "\(kind.rawValue)/\(index)"
        func sample(_ task: MedicalTask, _ detail: String?, answer: String) -> Sample {
            Sample(
                id: ([stem, task.rawValue] + (detail.map { [$0] } ?? [])).joined(separator: " "),
                dataset: configuration.dataset,
                split: annotation.split,
                task: task,
                group: stem,
                image: task.usesImage ? annotation.image : nil,
                answer: answer,
                fields: task.usesImage ? annotation.fields : nil
            )
        }
        var samples: [Sample] = []
        for question in scene.questions {
            var record = sample(.visualQuestionAnswering, question.kind.rawValue, answer: question.answer)
            record.question = question.rephrased(&generator)
            record.questionKind = question.kind.rawValue
            record.choices = question.choices
            samples.append(record)
        }
        var classification = sample(.imageClassification, nil, answer: scene.finding.rawValue)
        classification.question = Self.classificationQuestion
        classification.questionKind = "finding"
        classification.choices = Self.classes
        samples.append(classification)
        samples.append(sample(.reportGeneration, nil, answer: scene.report))

        for object in referredObjects(annotation, &generator) {
            for task in [MedicalTask.referringExpressionComprehension, .referringExpressionGeneration] {
                let answer = task == .referringExpressionGeneration ? object.name : ""
                var record = sample(task, object.name, answer: answer)
                record.objectName = object.name
                record.box = object.box
                samples.append(record)
            }
        }
        if let question = fact(at: index, &generator) {
            var record = sample(.questionAnswering, nil, answer: question.answer)
            record.question = question.text
            record.questionKind = question.kind
            record.choices = question.choices
            samples.append(record)
        }
        return samples
    }

    private static let classificationQuestion =
        "Which of these does the image show: " + classes.dropLast().joined(separator: ", ")
        + ", or \(classes.last ?? "")?"

    /// Up to three objects whose name is unique in the picture and that are large enough to be seen.
    private func referredObjects(_ annotation: ImageAnnotation, _ generator: inout SeededGenerator) -> [NamedBox] {
        var counts: [String: Int] = [:]
        for object in annotation.objects { counts[object.name, default: 0] += 1 }
        let smallest = Self.smallestReferredExtent * Double(configuration.side)
        var objects = annotation.objects.filter {
            counts[$0.name] == 1 && min($0.box.width, $0.box.height) >= smallest
        }
        generator.shuffle(&objects)
        return Array(objects.prefix(3))
    }

    /// The question without a picture: for training any of them, for validation each at most once.
    private func fact(at index: Int, _ generator: inout SeededGenerator) -> PhantomFacts.Question? {
        let split = split(at: index)
        let questions = PhantomFacts.questions(split)
        guard split == .validation else { return generator.pick(questions) }
        var order = SeededGenerator.derived(from: seed, label: "phantom facts")
        let permutation = order.permutation(of: questions.count)
        let ordinal = index - configuration.trainCount
        return ordinal < permutation.count ? questions[permutation[ordinal]] : nil
    }
}
