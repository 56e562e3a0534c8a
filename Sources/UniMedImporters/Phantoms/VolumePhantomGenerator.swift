public import UniMedData
public import UniMedImaging

/// How many synthetic volumes there are, and of what size.
public struct VolumePhantomConfiguration: Codable, Sendable, Equatable {
    /// The width and height of the slices, in pixels; from 32 to 512.
    public var side: Int
    /// The range of the number of slices.
    public var slices: ClosedRange<Int>
    /// The number of volumes for training.
    public var trainCount: Int
    /// The number of volumes for validation, which are the same whatever the number for training.
    public var validationCount: Int
    /// The data set's name in the samples.
    public var dataset: String

    /// Makes a configuration.
    public init(
        side: Int = 64,
        slices: ClosedRange<Int> = 18...26,
        trainCount: Int = 400,
        validationCount: Int = 80,
        dataset: String = "volume-phantoms"
    ) {
        self.side = side
        self.slices = slices
        self.trainCount = trainCount
        self.validationCount = validationCount
        self.dataset = dataset
    }
}

/// A seeded generator of labelled synthetic volumes: a trunk with one organ, in which there may be a lesion.
///
/// Made as ``PhantomGenerator`` makes pictures: volume `i` depends on the seed and `i` alone, boxes are the exact extents of
/// what was drawn. The tasks are cls (which organ), vqa (whether there is a lesion), rec and reg in three dimensions. The
/// volumes imitate CT well enough to see that a model learns from them; they teach no medicine.
public struct VolumePhantomGenerator: Sendable {
    /// The seed of all volumes.
    public let seed: UInt64
    /// The sizes and numbers.
    public let configuration: VolumePhantomConfiguration

    /// The classes of image classification, in the order in which the question lists them.
    public static let organs = Organ.allCases.map(\.rawValue)
    /// The name of a lesion as an object.
    public static let lesion = "lesion"

    private static let classificationQuestion =
        "Which organ does this CT volume show: liver, spleen, kidney, or bladder?"

    /// Makes a generator.
    ///
    /// - Precondition: The side is from 32 to 512, there are 2 to 512 slices, and the counts are not negative.
    public init(seed: UInt64, configuration: VolumePhantomConfiguration = VolumePhantomConfiguration()) {
        precondition((32...512).contains(configuration.side), "the side of a slice is 32 to 512 pixels")
        precondition(
            configuration.slices.lowerBound >= 2 && configuration.slices.upperBound <= 512,
            "a phantom has 2 to 512 slices"
        )
        precondition(
            configuration.trainCount >= 0 && configuration.validationCount >= 0,
            "the number of phantoms is not negative"
        )
        self.seed = seed
        self.configuration = configuration
    }

    /// The number of volumes; their indices count from 0, those for training first.
    public var count: Int { configuration.trainCount + configuration.validationCount }

    // MARK: - What is drawn

    enum Organ: String, CaseIterable {
        case liver, spleen, kidney, bladder

        /// The centre and the radii as shares of the picture's side and of the number of slices, and the grey level.
        fileprivate var form: (center: [Double], radii: [Double], level: Double) {
            switch self {
            case .liver: ([0.36, 0.44, 0.45], [0.2, 0.18, 0.3], 150)
            case .spleen: ([0.68, 0.56, 0.4], [0.11, 0.15, 0.24], 165)
            case .kidney: ([0.35, 0.64, 0.55], [0.1, 0.12, 0.28], 195)
            case .bladder: ([0.5, 0.36, 0.75], [0.16, 0.13, 0.17], 70)
            }
        }
    }

    /// An ellipsoid in pixels and slices.
    private struct Ellipsoid {
        let center: [Double]
        let radii: [Double]

        /// The squared distance from the centre in radii, at the centre of a voxel.
        func distance(_ x: Int, _ y: Int, _ z: Int) -> Double {
            let u = (Double(x) + 0.5 - center[0]) / radii[0]
            let v = (Double(y) + 0.5 - center[1]) / radii[1]
            let w = (Double(z) + 0.5 - center[2]) / radii[2]
            return u * u + v * v + w * w
        }
    }

    private struct Scene {
        let reference: ImageReference
        let organ: Organ
        let trunk: Ellipsoid
        let body: Ellipsoid
        let lesion: Ellipsoid?
        let trunkLevel: Double
        let organLevel: Double
        let lesionLevel: Double
    }

    /// The split of a volume.
    ///
    /// - Precondition: The index is in `0 ..< count`.
    public func split(at index: Int) -> Split {
        precondition((0..<count).contains(index), "there is no phantom of this index")
        return index < configuration.trainCount ? .train : .validation
    }

    /// The path of a volume, for example `volume/000123`; the number is the index.
    ///
    /// - Precondition: The index is in `0 ..< count`.
    public func path(at index: Int) -> String {
        precondition((0..<count).contains(index), "there is no phantom of this index")
        let digits = String(index)
        return "volume/" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    private func generator(at index: Int, purpose: String) -> SeededGenerator {
        let split = split(at: index)
        let ordinal = split == .train ? index : index - configuration.trainCount
        return SeededGenerator.derived(from: seed, label: "volume phantom \(purpose) \(split.rawValue) \(ordinal)")
    }

    private func scene(at index: Int) -> Scene {
        var generator = generator(at: index, purpose: "scene")
        let side = Double(configuration.side)
        let slices = generator.integer(in: configuration.slices)
        let sizes = [side, side, Double(slices)]
        let organ = generator.pick(Organ.allCases)
        let (center, radii, level) = organ.form
        func jittered(_ shares: [Double], _ amplitude: Double) -> [Double] {
            zip(shares, sizes).map { ($0 + generator.number(-amplitude...amplitude)) * $1 }
        }
        // No organ has fewer than three slices.
        let bodyRadii = zip(radii, sizes).map { max(1.6, $0 * generator.number(0.8...1.15) * $1) }
        let body = Ellipsoid(center: jittered(center, 0.07), radii: bodyRadii)
        let trunk = Ellipsoid(
            center: [0.5 * side, 0.5 * side, 0.5 * Double(slices)],
            radii: [0.46 * side, 0.38 * side, 1.2 * Double(slices)]
        )
        var lesion: Ellipsoid?
        if generator.chance(0.6) {
            let scales = (0..<3).map { _ in generator.number(0.35...0.5) }
            // Well inside the organ: no farther from its centre than a third of its radii in each direction.
            let offsets = (0..<3).map { bodyRadii[$0] * generator.number(-0.33...0.33) }
            lesion = Ellipsoid(
                center: (0..<3).map { body.center[$0] + offsets[$0] },
                radii: (0..<3).map { max($0 == 2 ? 1.1 : 2, bodyRadii[$0] * scales[$0]) }
            )
        }
        let organLevel = level + generator.number(-10...10)
        return Scene(
            reference: ImageReference(
                path: path(at: index),
                width: configuration.side,
                height: configuration.side,
                volume: VolumeReference(slices: slices, spacing: generator.pick([2.5, 4, 5]), axis: .axial)
            ),
            organ: organ,
            trunk: trunk,
            body: body,
            lesion: lesion,
            trunkLevel: generator.number(100...115),
            organLevel: organLevel,
            lesionLevel: organLevel > 125 ? organLevel - 75 : organLevel + 75
        )
    }

    /// What a voxel shows: 0 air, 1 trunk, 2 organ, 3 lesion.
    private static func label(_ scene: Scene, _ x: Int, _ y: Int, _ z: Int) -> UInt8 {
        if let lesion = scene.lesion, lesion.distance(x, y, z) <= 1 { return 3 }
        if scene.body.distance(x, y, z) <= 1 { return 2 }
        return scene.trunk.distance(x, y, z) <= 1 ? 1 : 0
    }

    /// The labels of a volume's voxels, `[slices, side, side]`: 0 air, 1 trunk, 2 organ, 3 lesion.
    ///
    /// - Precondition: The index is in `0 ..< count`.
    public func labels(at index: Int) -> [UInt8] { labels(scene(at: index)) }

    private func labels(_ scene: Scene) -> [UInt8] {
        let side = configuration.side
        let slices = scene.reference.volume?.slices ?? 0
        return [UInt8](unsafeUninitializedCapacity: slices * side * side) { labels, initialized in
            var next = 0
            for z in 0..<slices {
                for y in 0..<side {
                    for x in 0..<side {
                        labels[next] = Self.label(scene, x, y, z)
                        next += 1
                    }
                }
            }
            initialized = next
        }
    }

    /// The picture of a slice by its path; `nil` when no phantom has it.
    public func renderedSlice(for path: String) -> RGBImage? {
        guard let (volume, slice) = ImageReference.sliceParts(ofPath: path),
            let name = volume.split(separator: "/").last, let index = Int(name), (0..<count).contains(index),
            self.path(at: index) == volume
        else { return nil }
        let scene = scene(at: index)
        guard let slices = scene.reference.volume?.slices, slice < slices else { return nil }
        let levels = [5, scene.trunkLevel, scene.organLevel, scene.lesionLevel]
        var noise = generator(at: index, purpose: "noise \(slice)")
        let side = configuration.side
        var pixels: [UInt8] = []
        pixels.reserveCapacity(side * side * 3)
        for y in 0..<side {
            for x in 0..<side {
                // Three evenly drawn numbers are nearly a normal one.
                let grain = (noise.uniform() + noise.uniform() + noise.uniform() - 1.5) * 16
                let level = levels[Int(Self.label(scene, x, y, slice))] + grain
                let grey = UInt8(min(255, max(0, level.rounded())))
                for _ in 0..<3 { pixels.append(grey) }
            }
        }
        return RGBImage(width: side, height: side, pixels: pixels)
    }

    // MARK: - Samples

    /// The samples of a volume, and an annotation for each of its slices.
    ///
    /// - Precondition: The index is in `0 ..< count`.
    public func study(at index: Int) -> (samples: [Sample], annotations: [ImageAnnotation]) {
        let scene = scene(at: index)
        let labels = labels(scene)
        // The lesion is part of the organ.
        let organMask = labels.map { UInt8($0 >= 2 ? 1 : 0) }
        let lesionMask = labels.map { UInt8($0 == 3 ? 1 : 0) }
        var objects: [(name: String, mask: [UInt8])] = [(scene.organ.rawValue, organMask)]
        if scene.lesion != nil { objects.append((Self.lesion, lesionMask)) }
        return (samples(at: index, scene, objects), annotations(at: index, scene, objects))
    }

    private func annotations(
        at index: Int,
        _ scene: Scene,
        _ objects: [(name: String, mask: [UInt8])]
    ) -> [ImageAnnotation] {
        let side = configuration.side
        return scene.reference.pictures.enumerated().map { slice, picture in
            let visible = objects.compactMap { object -> NamedBox? in
                let mask = object.mask[slice * side * side..<(slice + 1) * side * side]
                return BoundingBox(mask: mask, width: side, extent: .exclusiveEnd)
                    .map { NamedBox(name: object.name, box: $0) }
            }
            return ImageAnnotation(
                dataset: configuration.dataset,
                split: split(at: index),
                image: picture,
                objects: visible,
                fields: [
                    "modality": "CT",
                    "organ": visible.isEmpty ? "none" : scene.organ.rawValue,
                    "lesion": visible.contains { $0.name == Self.lesion } ? "yes" : "no",
                ]
            )
        }
    }

    private func samples(
        at index: Int,
        _ scene: Scene,
        _ objects: [(name: String, mask: [UInt8])]
    ) -> [Sample] {
        let stem = path(at: index)
        func sample(_ task: MedicalTask, _ detail: String? = nil, _ change: (inout Sample) -> Void) -> Sample {
            var sample = Sample(
                id: ([stem, task.rawValue] + (detail.map { [$0] } ?? [])).joined(separator: " "),
                dataset: configuration.dataset,
                split: split(at: index),
                task: task,
                group: stem,
                image: scene.reference,
                answer: "",
                fields: ["modality": "CT"]
            )
            change(&sample)
            return sample
        }
        var samples = [
            sample(.imageClassification) {
                $0.question = Self.classificationQuestion
                $0.questionKind = "organ"
                $0.choices = Self.organs
                $0.answer = scene.organ.rawValue
            },
            sample(.visualQuestionAnswering, "lesion") {
                $0.question = "Is there a lesion in the \(scene.organ.rawValue)?"
                $0.questionKind = "lesion"
                $0.choices = ["yes", "no"]
                $0.answer = scene.lesion == nil ? "no" : "yes"
            },
        ]
        for object in objects {
            guard
                let box = BoundingBox3D(mask: object.mask, width: configuration.side, height: configuration.side)
            else { continue }
            for task in [MedicalTask.referringExpressionComprehension, .referringExpressionGeneration] {
                samples.append(
                    sample(task, object.name) {
                        $0.objectName = object.name
                        $0.box = box.box
                        $0.boxSlices = box.slices
                        $0.answer = task == .referringExpressionGeneration ? object.name : ""
                    }
                )
            }
        }
        return samples
    }
}
