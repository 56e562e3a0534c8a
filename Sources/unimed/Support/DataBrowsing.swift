import Foundation
import UniMedData
import UniMedImaging
import UniMedReports
import UniMedTasks

/// The page of samples of prepared data, as the model gets them.
struct DataBrowsing {
    let data: PreparedData
    /// The data set to show; `nil` shows all.
    var dataset: String?
    /// The tasks to show.
    var tasks = Set(MedicalTask.allCases)
    /// The splits to show.
    var splits = Set(Split.allCases)
    /// The most samples of a data set, split and task.
    var count = 6
    /// The seed of the choice of samples and of the templates.
    var seed: UInt64 = 0
    /// The layout of the prompts.
    var form = Prompt.Form.training
    /// Which slices of volumes are shown.
    var selection = SliceSelection(count: 16)
    /// Whether samples are called by their names, which may identify patients.
    var names = false

    private struct Key: Hashable {
        let dataset: String
        let split: Split
        let task: MedicalTask
    }

    func page() throws -> DataPage {
        if let dataset, !data.manifest.sources.contains(where: { $0.dataset == dataset }) {
            let known = data.manifest.sources.map(\.dataset).joined(separator: ", ")
            throw Failure.badInput("--dataset: there is no data set '\(dataset)'; there are \(known)")
        }
        var members: [Key: [Int]] = [:]
        for (index, sample) in data.samples.enumerated()
        where (dataset ?? sample.dataset) == sample.dataset && tasks.contains(sample.task)
            && splits.contains(sample.split)
        {
            members[Key(dataset: sample.dataset, split: sample.split, task: sample.task), default: []].append(index)
        }
        var sections: [DataPage.Section] = []
        for dataset in data.manifest.sources.map(\.dataset) {
            for task in MedicalTask.allCases {
                for split in Split.allCases {
                    let key = Key(dataset: dataset, split: split, task: task)
                    guard let indices = members[key] else { continue }
                    sections.append(try section(key, indices))
                }
            }
        }
        return DataPage(
            title: "Prepared data",
            facts: [
                ReportFact("Data sets", "\(data.manifest.sources.count)"),
                ReportFact("Samples", "\(data.samples.count)"),
                ReportFact("Pictures", "\(data.images.count)"),
                ReportFact("Side of a picture", "\(data.images.size) pixels"),
                ReportFact("Prompts", form.rawValue),
                ReportFact("Seed", "\(seed)"),
            ],
            notes: [
                "Samples are chosen by chance, with the seed. Pictures are the prepared pixels, square as the vision "
                    + "transformer sees them; boxes are those of the prompt or target, in hundredths. The template of a "
                    + "prompt is drawn with the seed; training draws another one each time. \(Prompt.imageMark) is the "
                    + "place of the image's tokens. Of a volume slices are shown in order, row by row, with the box on those "
                    + "that it spans."
            ],
            sections: sections
        )
    }

    private func section(_ key: Key, _ indices: [Int]) throws -> DataPage.Section {
        var generator = SeededGenerator.derived(
            from: seed,
            label: "browse \(key.dataset) \(key.split.rawValue) \(key.task.rawValue)"
        )
        let chosen = generator.permutation(of: indices.count).prefix(count).sorted()
        return DataPage.Section(
            dataset: key.dataset,
            split: key.split,
            task: key.task,
            count: indices.count,
            cards: try chosen.map { try card(of: data.samples[indices[$0]], number: $0 + 1) }
        )
    }

    private func card(of sample: Sample, number: Int) throws -> DataCard {
        let target = try TaskRegistry.definition(of: sample.task).target(for: sample)
        var picture: SampleCard.Picture?
        var box: BoundingBox?
        if let image = sample.image, var sheet = VolumeSheet(sample, in: data, selection: selection) {
            if let box = sample.box3D { sheet.draw(box, of: image, color: VolumeSheet.annotated) }
            picture = try sheet.picture()
        } else if let image = sample.image, let position = data.images.position(of: sample) {
            let size = data.images.size
            let pixels = data.images.withPixels(at: position) { [UInt8]($0) }
            let png = try PNGEncoder.encode(RGBImage(width: size, height: size, pixels: pixels))
            picture = SampleCard.Picture(png: Data(png), width: size, height: size)
            box = sample.box.map {
                NormalizedBox($0, width: image.width, height: image.height).pixels(width: size, height: size)
            }
        }
        var facts: [ReportFact] = []
        if let kind = sample.questionKind { facts.append(ReportFact("kind", kind)) }
        if let modality = sample.modality { facts.append(ReportFact("modality", modality)) }
        if let image = sample.image { facts.append(ReportFact("original", "\(image.width) x \(image.height)")) }
        if let volume = sample.image?.volume {
            facts.append(ReportFact("slices", "\(volume.slices)"))
            if let axis = volume.axis { facts.append(ReportFact("axis", axis.rawValue)) }
            if let spacing = volume.spacing { facts.append(ReportFact("spacing", String(format: "%g mm", spacing))) }
        }
        if names, let group = sample.group { facts.append(ReportFact("group", group)) }
        return DataCard(
            name: names ? sample.id : "sample \(number)",
            picture: picture,
            box: box,
            prompt: try Prompt(for: sample, form: form, templateSeed: seed).text,
            target: form == .training ? Prompt.trainingTarget(target) : target,
            facts: facts
        )
    }
}
