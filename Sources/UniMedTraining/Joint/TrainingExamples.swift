import Foundation
package import UniMedData
package import UniMedModel
import UniMedTasks
import UniMedTokenizers

/// A sample as the training step takes it.
package struct TrainingExample: Sendable, Equatable {
    /// The prompt with its answer.
    package let prompt: EncodedPrompt
    /// The rows of the features of its picture, or of the chosen slices of its volume; empty for question answering.
    package let featureRows: [Int]
}

/// Turns drawn samples into prompts: instruction, view, answer, token ids.
package struct TrainingExamples: Sendable {
    /// The training split.
    package let samples: [Sample]
    /// The order in which a sampler sees the samples: positions in ``samples``, repeated ones where kinds are balanced.
    package let entries: [Int]
    /// The rates of the tasks, from the samples as they are.
    package let rates: TaskRates
    /// The position of each sample's picture; -1 without one, or for a volume.
    private let pictures: [Int]
    /// The volume of each sample, as a place in ``volumes``; -1 without one.
    private let volumeOfSample: [Int]
    private let volumes: [Volume]
    private let volumeConfiguration: VolumeConfiguration?
    private let plan: ViewPlan
    private let encoder: PromptEncoder
    /// The annotated objects of each picture, for questions that count them.
    private let objects: [Int: [NamedBox]]

    private static let countPrefix = "count "
    /// Boxes that a view cuts to less than this share of a side are not asked for.
    private static let smallestSide = 0.02

    /// A volume of the training split.
    private struct Volume: Sendable {
        let reference: VolumeReference
        /// The positions of all of its slices.
        let positions: [Int]
        /// How much is to be seen in each.
        let weights: [Double]
    }

    /// Prepares the training split.
    ///
    /// - Parameter volume: How the model looks at volumes; `nil` for a model that does not.
    /// - Throws: ``TrainingError`` when there are no training samples or a sample's picture is missing.
    package init(
        _ data: PreparedData,
        configuration: DataConfiguration,
        encoder: PromptEncoder,
        plan: ViewPlan,
        seed: UInt64,
        volume: VolumeConfiguration? = nil
    ) throws(TrainingError) {
        let samples = data.indices(split: .train).map { data.samples[$0] }
        guard !samples.isEmpty else {
            throw TrainingError(.data, "there is no sample of the training split", file: data.folder.path)
        }
        var pictures: [Int] = []
        var volumes: [Volume] = []
        var volumeOfSample = [Int](repeating: -1, count: samples.count)
        var known: [String: Int] = [:]
        for (index, sample) in samples.enumerated() {
            if let reference = sample.image?.volume, let positions = data.images.positions(of: sample) {
                guard let volume else {
                    let problem = "the data hold volumes and the model has no settings for them"
                    throw TrainingError(.recipe, problem, field: "model.volume")
                }
                let name = "\(sample.dataset)/\(sample.image?.path ?? "")"
                if known[name] == nil {
                    known[name] = volumes.count
                    let weights = data.images.sliceWeights(at: positions, for: volume.selection)
                    volumes.append(Volume(reference: reference, positions: positions, weights: weights))
                }
                volumeOfSample[index] = known[name] ?? -1
                pictures.append(-1)
            } else if let position = data.images.position(of: sample) {
                pictures.append(position)
            } else if sample.task.usesImage {
                let problem = "the picture of sample \(sample.id) of \(sample.dataset) is not in the prepared data"
                throw TrainingError(.data, problem, file: data.folder.path)
            } else {
                pictures.append(-1)
            }
        }
        var objects: [Int: [NamedBox]] = [:]
        for annotation in data.annotations where annotation.split == .train {
            guard
                let position = data.images.position(dataset: annotation.dataset, path: annotation.image.path),
                plan.viewCount(of: position) > 1
            else { continue }
            let (width, height) = (Double(annotation.image.width), Double(annotation.image.height))
            objects[position] = annotation.objects.map { object in
                NamedBox(name: object.name, box: object.box.scaled(byX: 1 / width, y: 1 / height))
            }
        }
        self.samples = samples
        self.pictures = pictures
        self.volumeOfSample = volumeOfSample
        self.volumes = volumes
        volumeConfiguration = volume
        self.plan = plan
        self.encoder = encoder
        self.objects = objects
        rates = try TrainingExamples.rates(configuration.rates, samples: samples)
        switch configuration.balance {
        case .samples: entries = Array(samples.indices)
        case .kinds: entries = TrainingExamples.balanced(samples, seed: seed)
        }
    }

    /// The task of each entry.
    package var tasks: [MedicalTask] { entries.map { samples[$0].task } }

    /// The prompt of a draw.
    ///
    /// The template, the view of the picture, and the slices of a volume follow from the draw's seed.
    ///
    /// - Throws: `TaskError` or `TokenizerError` when the sample lacks what its task needs.
    package func example(for draw: MixtureDraw) throws -> TrainingExample {
        let index = entries[draw.sampleIndex]
        var sample = samples[index]
        var rows: [Int] = []
        var slices: [SlicePosition] = []
        if volumeOfSample[index] >= 0, sample.task.usesImage {
            let volume = volumes[volumeOfSample[index]]
            let chosen = self.slices(of: volume, seed: draw.seed)
            rows = chosen.map { plan.row(of: volume.positions[$0], view: 0) }
            slices = chosen.map { SlicePosition(slice: $0, of: volume.reference) }
        } else if pictures[index] >= 0, sample.task.usesImage {
            let (view, adapted) = self.view(of: sample, picture: pictures[index], seed: draw.seed)
            sample = adapted
            rows = [plan.row(of: pictures[index], view: view)]
        }
        let definition = TaskRegistry.definition(of: sample.task)
        var instruction = try definition.instruction(for: sample, templateSeed: draw.seed)
        // The encoder writes the task's tag itself.
        let tag = sample.task.promptTag + " "
        if instruction.hasPrefix(tag) { instruction.removeFirst(tag.count) }
        var prompt = try encoder.training(
            task: sample.task,
            instruction: instruction,
            answer: try definition.target(for: sample),
            hasImage: !rows.isEmpty,
            slices: slices
        )
        prompt.modality = sample.modality
        return TrainingExample(prompt: prompt, featureRows: rows)
    }

    /// The slices of a volume to look at.
    private func slices(of volume: Volume, seed: UInt64) -> [Int] {
        guard let configuration = volumeConfiguration else {
            preconditionFailure("volumes are kept only where the model has settings for them")
        }
        var generator = configuration.jitter ? SeededGenerator.derived(from: seed, label: "slices") : nil
        return configuration.selection.slices(weights: volume.weights, generator: &generator)
    }

    // MARK: Views

    /// A view that the sample can be asked about, and the sample as it is there.
    private func view(of sample: Sample, picture: Int, seed: UInt64) -> (view: Int, sample: Sample) {
        let count = plan.viewCount(of: picture)
        guard count > 1 else { return (0, sample) }
        var generator = SeededGenerator.derived(from: seed, label: "view")
        // A few draws find a view that fits; the picture itself always does.
        for _ in 0..<4 {
            let index = generator.integer(below: count)
            if index == 0 { break }
            if let adapted = adapt(sample, picture: picture, view: plan.view(of: picture, index: index)) {
                return (index, adapted)
            }
        }
        return (0, sample)
    }

    /// The sample as it is in a view; `nil` when it cannot be asked there.
    package func adapt(_ sample: Sample, picture: Int, view: ImageView) -> Sample? {
        var sample = sample
        if let box = sample.box, let image = sample.image {
            let (width, height) = (Double(image.width), Double(image.height))
            guard let visible = view.visibleBox(box.scaled(byX: 1 / width, y: 1 / height)),
                visible.width >= Self.smallestSide, visible.height >= Self.smallestSide
            else { return nil }
            sample.box = visible.scaled(byX: width, y: height)
        }
        if let kind = sample.questionKind, kind.hasPrefix(Self.countPrefix) {
            // The number in the view, provided that the annotation explains the number in the picture.
            let name = String(kind.dropFirst(Self.countPrefix.count))
            let named = (objects[picture] ?? []).filter { $0.name == name }
            guard "\(named.count)" == sample.answer else { return nil }
            sample.answer = "\(named.count { view.visibleBox($0.box) != nil })"
        }
        return sample
    }

    // MARK: Balance

    private static func rates(_ rates: TaskRates, samples: [Sample]) throws(TrainingError) -> TaskRates {
        let counts = samples.reduce(into: [MedicalTask: Double]()) { $0[$1.task, default: 0] += 1 }
        switch rates {
        case .proportional: return .explicit(counts)
        case .temperature(let temperature): return .explicit(counts.mapValues { pow($0, 1 / temperature) })
        case .explicit: return rates
        }
    }

    /// What samples of a task are alike in: the data set and the kind of question or, where an object is named, its name.
    private struct Kind: Hashable {
        let task: MedicalTask
        let dataset: String
        let name: String

        init(_ sample: Sample) {
            task = sample.task
            dataset = sample.dataset
            name = sample.objectName ?? sample.questionKind ?? ""
        }
    }

    /// Repeats samples so that every kind of a task has as many entries as the task's largest.
    private static func balanced(_ samples: [Sample], seed: UInt64) -> [Int] {
        var groups: [Kind: [Int]] = [:]
        var order: [Kind] = []
        for (index, sample) in samples.enumerated() {
            let kind = Kind(sample)
            if groups[kind] == nil { order.append(kind) }
            groups[kind, default: []].append(index)
        }
        var largest: [MedicalTask: Int] = [:]
        for (kind, members) in groups { largest[kind.task] = max(largest[kind.task] ?? 0, members.count) }
        var generator = SeededGenerator.derived(from: seed, label: "balance")
        var entries: [Int] = []
        for kind in order {
            let members = groups[kind] ?? []
            let wanted = largest[kind.task] ?? members.count
            for _ in 0..<(wanted / members.count) { entries += members }
            let rest = generator.permutation(of: members.count).prefix(wanted % members.count)
            entries += rest.map { members[$0] }
        }
        return entries
    }
}

extension BoundingBox {
    func scaled(byX x: Double, y: Double) -> BoundingBox {
        BoundingBox(xMin: xMin * x, yMin: yMin * y, xMax: xMax * x, yMax: yMax * y)
    }
}
