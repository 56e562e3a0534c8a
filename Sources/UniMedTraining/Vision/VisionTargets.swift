import Foundation
import UniMedData

/// What the training pictures teach the vision transformer: fields, words, boxes.
struct VisionTargets: Sendable {
    /// A field with its values, for example `plane`: axial, coronal, sagittal.
    struct Field: Sendable, Equatable {
        let name: String
        let values: [String]
    }

    /// A training picture.
    struct Picture: Sendable {
        let position: Int
        let augmentation: AugmentationConfiguration?
        /// The value of each field, -1 where it is not known.
        let fields: [Int]
        /// The words of the report; `nil` where there is none.
        let words: [Int]?
        /// The objects with their class, boxes in `0...1` of the picture; `nil` where the data set annotates none.
        let objects: [(label: Int, box: BoundingBox)]?
        /// The classes that the data set annotates.
        let knownLabels: [Bool]
    }

    let fields: [Field]
    let words: [String]
    /// The classes of objects.
    let labels: [String]
    /// The classes that occur more than once in a picture: what number is told apart, and how near a miss still counts.
    let countedClasses: [(label: Int, classes: Int, width: Double)]
    let pictures: [Picture]
    /// The pictures of each data set.
    let groups: [(dataset: String, members: [Int])]

    private static let rarestValue = 3
    private static let highestNumber = 28
    private static let mostValues = 64
    private static let mostLabels = 32
    private static let commonWords: Set<String> = [
        "the", "and", "with", "are", "this", "was", "for", "from", "that", "which", "has", "into", "also", "not",
        "there", "these", "its", "have", "been", "were", "but",
    ]

    init(
        _ data: PreparedData,
        configuration: DataConfiguration,
        wordCount: Int
    ) {
        let augmentations = Dictionary(
            configuration.sets.compactMap { set in set.augmentation.map { (set.dataset, $0) } },
            uniquingKeysWith: { first, _ in first }
        )
        let annotations = data.annotations.filter { $0.split == .train }
        let fields = Self.fields(of: annotations)
        let words = Self.words(of: annotations, count: wordCount)
        let labels = Self.labels(of: annotations)
        let fieldValues = fields.map { field in
            Dictionary(uniqueKeysWithValues: field.values.enumerated().map { ($1, $0) })
        }
        let wordIndices = Dictionary(uniqueKeysWithValues: words.enumerated().map { ($1, $0) })
        let labelIndices = Dictionary(uniqueKeysWithValues: labels.enumerated().map { ($1, $0) })
        var known: [String: [Bool]] = [:]
        for annotation in annotations where !annotation.objects.isEmpty {
            for object in annotation.objects {
                guard let label = labelIndices[object.name] else { continue }
                known[annotation.dataset, default: [Bool](repeating: false, count: labels.count)][label] = true
            }
        }
        var pictures: [Picture] = []
        var groups: [(dataset: String, members: [Int])] = []
        var largest = [Int](repeating: 0, count: labels.count)
        for annotation in annotations {
            guard let position = data.images.position(dataset: annotation.dataset, path: annotation.image.path) else {
                continue
            }
            let (width, height) = (Double(annotation.image.width), Double(annotation.image.height))
            let knownLabels = known[annotation.dataset]
            let objects = knownLabels.map { _ in
                annotation.objects.compactMap { object in
                    labelIndices[object.name].map { (label: $0, box: object.box.scaled(byX: 1 / width, y: 1 / height)) }
                }
            }
            if let objects, let knownLabels {
                for label in labels.indices where knownLabels[label] {
                    largest[label] = max(largest[label], objects.count { $0.label == label })
                }
            }
            let picture = Picture(
                position: position,
                augmentation: augmentations[annotation.dataset],
                fields: fields.indices.map { index in
                    annotation.fields[fields[index].name].flatMap { fieldValues[index][$0] } ?? -1
                },
                words: annotation.text.map { Self.words(of: $0).compactMap { wordIndices[$0] }.sorted() },
                objects: objects,
                knownLabels: knownLabels ?? [Bool](repeating: false, count: labels.count)
            )
            if let group = groups.firstIndex(where: { $0.dataset == annotation.dataset }) {
                groups[group].members.append(pictures.count)
            } else {
                groups.append((annotation.dataset, [pictures.count]))
            }
            pictures.append(picture)
        }
        self.fields = fields
        self.words = words
        self.labels = labels
        self.pictures = pictures
        self.groups = groups
        countedClasses = labels.indices.filter { largest[$0] > 1 }.map { label in
            (label, min(largest[label], Self.highestNumber) + 2, largest[label] <= 8 ? 0.4 : 1.5)
        }
    }

    private static func fields(of annotations: [ImageAnnotation]) -> [Field] {
        var counts: [String: [String: Int]] = [:]
        for annotation in annotations {
            for (field, value) in annotation.fields { counts[field, default: [:]][value, default: 0] += 1 }
        }
        return counts.sorted { $0.key < $1.key }.compactMap { name, values in
            let kept = values.filter { $0.value >= rarestValue }.keys.sorted()
            return (2...mostValues).contains(kept.count) ? Field(name: name, values: kept) : nil
        }
    }

    private static func words(of text: String) -> Set<String> {
        Set(
            text.lowercased().unicodeScalars.split { !("a"..."z").contains($0) }.filter { $0.count >= 3 }
                .map { String(String.UnicodeScalarView($0)) }
        )
    }

    private static func words(of annotations: [ImageAnnotation], count: Int) -> [String] {
        var counts: [String: Int] = [:]
        for annotation in annotations {
            for word in words(of: annotation.text ?? "") where !commonWords.contains(word) {
                counts[word, default: 0] += 1
            }
        }
        return counts.filter { $0.value >= rarestValue }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(
            count
        )
        .map(\.key)
    }

    private static func labels(of annotations: [ImageAnnotation]) -> [String] {
        var counts: [String: Int] = [:]
        for annotation in annotations {
            for object in annotation.objects { counts[object.name, default: 0] += 1 }
        }
        return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(mostLabels).map(\.key).sorted()
    }

    // MARK: Batches

    /// The pictures, views and targets of a step, as plain numbers.
    struct Batch: Sendable {
        var positions: [Int] = []
        var views: [ImageView] = []
        /// Per field, per picture.
        var fields: [[Int]] = []
        /// The pictures that have a report, and their words: `[reports, words]`.
        var reportRows: [Int] = []
        var words: [Float] = []
        /// The pictures whose data set annotates objects.
        var objectRows: [Int] = []
        /// `[annotated, 1, labels]`: 1 where the data set annotates the class.
        var known: [Float] = []
        /// `[annotated, patches, labels]`: whether the patch's centre is inside a box of the class.
        var inside: [Float] = []
        /// `[annotated, patches, labels]`: whether a box's centre is in the patch.
        var centers: [Float] = []
        /// `[annotated, patches, 4]`: the smallest box around the patch's centre.
        var boxes: [Float] = []
        /// `[annotated, patches]`: whether there is one.
        var covered: [Float] = []
        /// Per class: the number of boxes whose centre is in the view, per annotated picture.
        var counts: [[Int]] = []
        /// `[annotated, labels, 4]`: the box of the object that is alone of its class, zeros elsewhere.
        var locations: [Float] = []
        /// `[annotated, labels]`: whether there is one.
        var alone: [Float] = []
        /// `[pictures, patches]`: hidden patches.
        var mask: [Bool] = []
    }

    /// The batch of a step, which follows from the seed and the step alone.
    func batch(step: Int, size: Int, grid: Int, maskRatio: Double, shares: [String: Double], seed: UInt64) -> Batch {
        var generator = SeededGenerator.derived(from: seed, label: "vision step \(step)")
        var batch = Batch()
        batch.fields = [[Int]](repeating: [], count: fields.count)
        batch.counts = [[Int]](repeating: [], count: labels.count)
        for group in draws(size, shares: shares, &generator) {
            let members = groups[group].members
            add(pictures[members[generator.integer(below: members.count)]], to: &batch, grid: grid, &generator)
        }
        for _ in 0..<batch.positions.count {
            let ratio = maskRatio * generator.uniform()
            for _ in 0..<grid * grid { batch.mask.append(generator.uniform() < ratio) }
        }
        return batch
    }

    /// The data set of each place of a batch: whole places by share, the rest by chance.
    private func draws(_ size: Int, shares: [String: Double], _ generator: inout SeededGenerator) -> [Int] {
        let weights = groups.map { shares.isEmpty ? Double($0.members.count) : shares[$0.dataset] ?? 0 }
        let total = weights.reduce(0, +)
        var draws: [Int] = []
        for (group, weight) in weights.enumerated() {
            draws += [Int](repeating: group, count: Int(Double(size) * weight / total))
        }
        while draws.count < size {
            var value = generator.uniform() * total
            var group = 0
            while group < weights.count - 1, value >= weights[group] {
                value -= weights[group]
                group += 1
            }
            draws.append(group)
        }
        return draws
    }

    private func add(_ picture: Picture, to batch: inout Batch, grid: Int, _ generator: inout SeededGenerator) {
        let row = batch.positions.count
        let view = picture.augmentation.map { ImageView.drawn($0, for: .pretraining, &generator) } ?? .identity
        batch.positions.append(picture.position)
        batch.views.append(view)
        for (index, value) in picture.fields.enumerated() { batch.fields[index].append(value) }
        if let own = picture.words {
            batch.reportRows.append(row)
            var values = [Float](repeating: 0, count: words.count)
            for word in own { values[word] = 1 }
            batch.words += values
        }
        guard let objects = picture.objects else { return }
        batch.objectRows.append(row)
        batch.known += picture.knownLabels.map { $0 ? 1 : 0 }
        addObjects(objects, view: view, to: &batch, grid: grid)
    }

    private func addObjects(
        _ objects: [(label: Int, box: BoundingBox)],
        view: ImageView,
        to batch: inout Batch,
        grid: Int
    ) {
        let (labelCount, patches) = (labels.count, grid * grid)
        let seen = objects.map { view.box($0.box) }
        var inside = [Float](repeating: 0, count: patches * labelCount)
        var centers = [Float](repeating: 0, count: patches * labelCount)
        var boxes = [Float](repeating: 0, count: patches * 4)
        var covered = [Float](repeating: 0, count: patches)
        for patch in 0..<patches {
            let x = (Double(patch % grid) + 0.5) / Double(grid)
            let y = (Double(patch / grid) + 0.5) / Double(grid)
            let source = view.source(x: x, y: y)
            var smallest = Double.infinity
            for (index, object) in objects.enumerated() {
                let box = object.box
                guard source.x >= box.xMin, source.x <= box.xMax, source.y >= box.yMin, source.y <= box.yMax else {
                    continue
                }
                inside[patch * labelCount + object.label] = 1
                guard seen[index].area < smallest else { continue }
                smallest = seen[index].area
                covered[patch] = 1
                for (edge, value) in edges(of: seen[index]).enumerated() { boxes[patch * 4 + edge] = value }
            }
        }
        var counts = [Int](repeating: 0, count: labelCount)
        var locations = [Float](repeating: 0, count: labelCount * 4)
        for (index, object) in objects.enumerated() {
            let (x, y) = ((seen[index].xMin + seen[index].xMax) / 2, (seen[index].yMin + seen[index].yMax) / 2)
            guard (0..<1).contains(x), (0..<1).contains(y) else { continue }
            counts[object.label] += 1
            for (edge, value) in edges(of: seen[index]).enumerated() { locations[object.label * 4 + edge] = value }
            centers[(Int(y * Double(grid)) * grid + Int(x * Double(grid))) * labelCount + object.label] = 1
        }
        batch.inside += inside
        batch.centers += centers
        batch.boxes += boxes
        batch.covered += covered
        for label in labels.indices where counts[label] != 1 {
            for edge in 0..<4 { locations[label * 4 + edge] = 0 }
        }
        batch.locations += locations
        batch.alone += counts.map { $0 == 1 ? 1 : 0 }
        for label in labels.indices { batch.counts[label].append(counts[label]) }
    }

    private func edges(of box: BoundingBox) -> [Float] {
        [box.xMin, box.yMin, box.xMax, box.yMax].map { Float(min(max($0, 0), 1)) }
    }
}
