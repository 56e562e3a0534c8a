import Foundation
import Testing
import UniMedData
import UniMedImaging
import UniMedImporters

/// Studies that several tests look at, drawn once.
private let sharedGenerator = PhantomGenerator(
    seed: 11,
    configuration: PhantomConfiguration(side: 112, trainCount: 900, validationCount: 150)
)
private let sharedStudies = (0..<sharedGenerator.count).map { sharedGenerator.study(at: $0) }
private let sharedSamples = sharedStudies.flatMap(\.samples)

@Suite("Phantoms: reproducible")
struct PhantomReproducibilityTests {
    private func generator(seed: UInt64, side: Int = 96, trainCount: Int = 40) -> PhantomGenerator {
        PhantomGenerator(
            seed: seed,
            configuration: PhantomConfiguration(side: side, trainCount: trainCount, validationCount: 10)
        )
    }

    /// A digest of pictures, objects and samples.
    private func digest(_ generator: PhantomGenerator, _ indices: some Sequence<Int>) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        var bytes: [UInt8] = []
        for index in indices {
            let study = generator.study(at: index)
            bytes += study.image.pixels
            bytes += try encoder.encode(study.annotation)
            bytes += try encoder.encode(study.samples)
        }
        return SHA256.hexDigest(of: bytes)
    }

    @Test func `a seed gives the same studies in any order and number, and another seed others`() throws {
        let forward = try digest(generator(seed: 5), 0..<20)
        #expect(try digest(generator(seed: 5), 0..<20) == forward)
        #expect(try digest(generator(seed: 6), 0..<20) != forward)
        let backward = (0..<20).reversed().map { generator(seed: 5).study(at: $0) }
        #expect(Array(backward.reversed()) == (0..<20).map { generator(seed: 5).study(at: $0) })
    }

    @Test func `threads do not change the studies`() async {
        let generator = generator(seed: 9)
        let drawn = await withTaskGroup(of: (Int, PhantomStudy).self) { group in
            for index in 0..<generator.count { group.addTask { (index, generator.study(at: index)) } }
            return await group.reduce(into: [Int: PhantomStudy]()) { $0[$1.0] = $1.1 }
        }
        for index in 0..<generator.count { #expect(drawn[index] == generator.study(at: index)) }
    }

    @Test func `the studies are those of every other machine`() throws {
        // Written down when the phantoms were last changed; a difference means that data made elsewhere are others.
        let own = try digest(generator(seed: 1), 0..<25)
        #expect(own == "4ad28d939f3472b32af14f1590b7e4895a0e786b223c90bcbd51e791c3bc510a")
    }

    @Test func `more training studies leave the validation studies as they are`() throws {
        let small = generator(seed: 5, trainCount: 3)
        let large = generator(seed: 5, trainCount: 30)
        for ordinal in 0..<10 {
            let (a, b) = (small.study(at: 3 + ordinal), large.study(at: 30 + ordinal))
            #expect(a.image == b.image)
            #expect(a.samples.map(\.answer) == b.samples.map(\.answer))
            #expect(a.annotation.split == .validation && b.annotation.split == .validation)
        }
    }

    @Test func `a picture can be drawn anew from its path`() {
        let generator = generator(seed: 2)
        for index in 0..<generator.count {
            let study = generator.study(at: index)
            #expect(generator.path(at: index) == study.annotation.image.path)
            #expect(generator.renderedImage(for: study.annotation.image.path) == study.image)
        }
        #expect(generator.renderedImage(for: "phantom/ct-torso/999999.png") == nil)
        #expect(generator.renderedImage(for: "phantom/ct-torso/-00001.png") == nil)
        #expect(generator.renderedImage(for: "") == nil)
    }

    @Test func `a written folder holds the same studies`() throws {
        let generator = PhantomGenerator(
            seed: 3,
            configuration: PhantomConfiguration(side: 64, trainCount: 8, validationCount: 2)
        )
        let folder = try MadeFolder()
        var done = 0
        try generator.write(to: folder.url) { done = $0 }
        #expect(done == 10)
        let annotations = try JSONLines.read(ImageAnnotation.self, from: folder.file("annotations.jsonl"))
        let studies = (0..<generator.count).map { generator.study(at: $0) }
        #expect(annotations == studies.map(\.annotation))
        let samples = try JSONLines.read(Sample.self, from: folder.file("samples.jsonl"))
        #expect(samples == studies.flatMap(\.samples))
        for study in studies {
            #expect(try ImageDecoder.decode(contentsOf: folder.file(study.annotation.image.path)) == study.image)
        }
    }
}

@Suite("Phantoms: ground truth")
struct PhantomGroundTruthTests {
    @Test func `boxes are the extents of the masks and lie in the picture`() {
        for index in stride(from: 0, to: 120, by: 1) {
            let masks = sharedGenerator.masks(at: index)
            #expect(masks.map(\.name) == sharedStudies[index].annotation.objects.map(\.name))
            for (mask, object) in zip(masks, sharedStudies[index].annotation.objects) {
                let set = mask.bits.indices.filter { mask.bits[$0] }
                let columns = set.map { $0 % mask.side }
                let rows = set.map { $0 / mask.side }
                #expect(set.count == mask.pixelCount && set.count > 0)
                #expect(object.box.xMin == Double(columns.min() ?? -1))
                #expect(object.box.xMax == Double((columns.max() ?? -1) + 1))
                #expect(object.box.yMin == Double(rows.min() ?? -1))
                #expect(object.box.yMax == Double((rows.max() ?? -1) + 1))
                #expect(object.box.xMin >= 0 && object.box.xMax <= Double(mask.side))
                #expect(object.box.yMin >= 0 && object.box.yMax <= Double(mask.side))
            }
        }
    }

    @Test func `what the findings name stands out from its surroundings`() {
        var contrasts: [String: [Double]] = [:]
        let names = ["liver lesion", "lung mass", "nevus", "melanoma", "hemangioma", "white blood cell", "color patch"]
        for index in 0..<300 {
            let study = sharedStudies[index]
            guard study.annotation.objects.contains(where: { names.contains($0.name) }) else { continue }
            for mask in sharedGenerator.masks(at: index) where names.contains(mask.name) {
                var inside = (sum: SIMD3<Double>.zero, count: 0.0)
                var outside = (sum: SIMD3<Double>.zero, count: 0.0)
                let margin = 4.0
                for y in 0..<mask.side {
                    for x in 0..<mask.side {
                        let color = study.image[x, y]
                        let value = SIMD3(Double(color.red), Double(color.green), Double(color.blue))
                        if mask.bits[y * mask.side + x] {
                            inside.sum += value
                            inside.count += 1
                        } else if Double(x) > mask.box.xMin - margin, Double(x) < mask.box.xMax + margin,
                            Double(y) > mask.box.yMin - margin, Double(y) < mask.box.yMax + margin
                        {
                            outside.sum += value
                            outside.count += 1
                        }
                    }
                }
                guard inside.count > 0, outside.count > 0 else { continue }
                let difference = inside.sum / inside.count - outside.sum / outside.count
                contrasts[mask.name, default: []].append((difference * difference).sum().squareRoot())
            }
        }
        for name in names {
            let values = contrasts[name] ?? []
            #expect(values.count > 5, "\(name)")
            #expect(values.reduce(0, +) / Double(max(values.count, 1)) > 30, "\(name)")
        }
    }

    @Test func `answers follow from what was drawn`() throws {
        let whiteCells: Set = ["white blood cell"]
        var checked: [String: Int] = [:]
        for study in sharedStudies {
            let objects = study.annotation.objects
            func count(_ name: String) -> Int { objects.count { $0.name == name } }
            for sample in study.samples where sample.task == .visualQuestionAnswering {
                let kind = try #require(sample.questionKind)
                let field = study.annotation.fields[kind]
                switch (kind, study.kind) {
                case ("count", .bloodSmear):
                    #expect(sample.answer == String(objects.count { whiteCells.contains($0.name) }))
                case ("count", _): #expect(sample.answer == String(count("liver lesion")))
                case ("presence", .bloodSmear): #expect((sample.answer == "yes") == (count("platelet") > 0))
                case ("presence", .mrHead): #expect((sample.answer == "yes") == (count("brain tumor") > 0))
                case ("presence", .dermoscopy):
                    if sample.question?.contains("patch") == true {
                        #expect((sample.answer == "yes") == (count("color patch") > 0))
                    }
                case ("presence", _):
                    if study.finding == .normalAbdomen || study.finding == .liverLesion {
                        #expect((sample.answer == "yes") == (count("liver lesion") > 0))
                    } else if sample.question?.contains("mass") == true {
                        #expect((sample.answer == "yes") == (count("lung mass") > 0))
                    } else {
                        #expect((sample.answer == "yes") == (count("pleural effusion") > 0))
                    }
                case ("side", .ctTorso), ("side", .chestXRay):
                    let finding = try #require(objects.first { ["lung mass", "pleural effusion"].contains($0.name) })
                    let lung = try #require(objects.first { $0.name == "\(sample.answer) lung" })
                    let other = try #require(objects.first { $0.name.hasSuffix("lung") && $0.name != lung.name })
                    func distance(_ box: BoundingBox) -> Double {
                        abs((box.xMin + box.xMax) - (finding.box.xMin + finding.box.xMax))
                    }
                    #expect(distance(lung.box) < distance(other.box))
                case ("side", _):
                    let tumor = try #require(objects.first { $0.name == "brain tumor" })
                    let brain = try #require(objects.first { $0.name == "brain" })
                    // The patient's right is at the left of the picture.
                    let isLeftOfMiddle = tumor.box.xMin + tumor.box.xMax < brain.box.xMin + brain.box.xMax
                    #expect((sample.answer == "right") == isLeftOfMiddle)
                case ("cell type", _):
                    let cells = count("white blood cell")
                    #expect(sample.answer == "blast" ? cells >= 3 : cells == 1)
                default: #expect(field == sample.answer)
                }
                checked[kind, default: 0] += 1
                if let choices = sample.choices { #expect(choices.contains(sample.answer)) }
            }
        }
        #expect(Set(checked.keys).isSuperset(of: ["modality", "plane", "region", "weighting", "presence", "count"]))
        #expect(Set(checked.keys).isSuperset(of: ["side", "color", "border", "cell type"]))
    }

    @Test func `a report names the finding and never another`() {
        let words: [PhantomFinding: [String]] = [
            .normalAbdomen: ["abdomen", "No focal liver lesion"], .liverLesion: ["seen in the liver"],
            .normalChest: ["Both lungs are clear"], .lungMass: ["A lung mass is seen"],
            .pleuralEffusion: ["There is a"], .normalBrain: ["The brain is normal"],
            .brainTumor: ["There is a brain tumor"], .nevus: ["nevus"], .melanoma: ["melanoma"],
            .hemangioma: ["hemangioma"], .normalBlood: ["Normal blood smear"], .leukemia: ["leukemia"],
        ]
        for study in sharedStudies {
            let report = study.samples.first { $0.task == .reportGeneration }?.answer ?? ""
            #expect(report == study.annotation.text)
            for (finding, phrases) in words {
                for phrase in phrases where finding == study.finding {
                    #expect(report.contains(phrase), "\(finding.rawValue): \(report)")
                }
            }
            let others = [PhantomFinding.nevus, .melanoma, .hemangioma, .leukemia].filter { $0 != study.finding }
            #expect(others.allSatisfy { !report.contains($0.rawValue) })
            #expect((1...3).contains(report.split(separator: ".").count))
        }
    }
}

@Suite("Phantoms: a fair data set")
struct PhantomDatasetTests {
    @Test func `every task, kind, finding and class appears in both splits`() {
        for split in [Split.train, .validation] {
            let samples = sharedSamples.filter { $0.split == split }
            #expect(Set(samples.map(\.task)) == Set(MedicalTask.allCases))
            let classes = samples.filter { $0.task == .imageClassification }.map(\.answer)
            #expect(Set(classes) == Set(PhantomGenerator.classes))
            let studies = sharedStudies.filter { $0.annotation.split == split }
            #expect(Set(studies.map(\.kind)) == Set(PhantomKind.allCases))
            #expect(Set(studies.map(\.finding)) == Set(PhantomFinding.allCases))
        }
        for sample in sharedSamples where sample.task == .imageClassification {
            #expect(sample.choices == PhantomGenerator.classes)
            #expect(sample.choices?.allSatisfy { sample.question?.contains($0) == true } == true)
        }
    }

    @Test func `samples are complete and their identifiers unique`() {
        #expect(Set(sharedSamples.map(\.id)).count == sharedSamples.count)
        for sample in sharedSamples {
            #expect((sample.image != nil) == sample.task.usesImage)
            #expect(sample.answer.isEmpty == (sample.task == .referringExpressionComprehension))
            if let image = sample.image { #expect(image.width == 112 && image.height == 112) }
        }
    }

    @Test func `referred objects are unique in their picture and large enough`() {
        var referred = 0
        for study in sharedStudies {
            for sample in study.samples where sample.objectName != nil {
                let objects = study.annotation.objects.filter { $0.name == sample.objectName }
                #expect(objects.count == 1 && objects.first?.box == sample.box)
                let extent = min(sample.box?.width ?? 0, sample.box?.height ?? 0)
                #expect(extent >= PhantomGenerator.smallestReferredExtent * 112)
                referred += 1
            }
        }
        #expect(referred > sharedStudies.count)
    }

    @Test func `no picture, study or question without a picture is in two splits`() {
        let train = sharedStudies.filter { $0.annotation.split == .train }
        let validation = sharedStudies.filter { $0.annotation.split == .validation }
        #expect(train.count == 900 && validation.count == 150)
        let digests = Set(train.map { SHA256.hexDigest(of: $0.image.pixels) })
        #expect(digests.count == train.count)
        #expect(validation.allSatisfy { !digests.contains(SHA256.hexDigest(of: $0.image.pixels)) })
        let groups = Set(train.flatMap(\.samples).compactMap(\.group))
        #expect(validation.flatMap(\.samples).allSatisfy { !groups.contains($0.group ?? "") })

        let questions = sharedSamples.filter { $0.task == .questionAnswering }
        let known = Set(questions.filter { $0.split == .train }.compactMap(\.question))
        let asked = questions.filter { $0.split == .validation }
        #expect(known.count + asked.count > 300)
        #expect(asked.allSatisfy { !known.contains($0.question ?? "") })
        #expect(Set(asked.compactMap(\.question)).count == asked.count)
        // What validation asks, training has taught: the same kind with the same answer.
        let taught = Set(questions.filter { $0.split == .train }.map { "\($0.questionKind ?? "") \($0.answer)" })
        #expect(asked.allSatisfy { taught.contains("\($0.questionKind ?? "") \($0.answer)") })
    }

    @Test func `no kind of question is answered by its most frequent answer in three of five cases`() {
        var counts: [String: [String: Int]] = [:]
        for sample in sharedSamples where !sample.answer.isEmpty && sample.task != .reportGeneration {
            counts["\(sample.task.rawValue) \(sample.questionKind ?? "")", default: [:]][sample.answer, default: 0] += 1
        }
        #expect(counts.count > 15)
        for (kind, answers) in counts {
            let total = answers.values.reduce(0, +)
            #expect(total >= 30, "\(kind)")
            // A margin of two standard deviations, for the kinds that are asked rarely.
            let bound = 0.6 + 1 / Double(total).squareRoot()
            #expect(Double(answers.values.max() ?? 0) / Double(total) < bound, "\(kind): \(answers)")
        }
    }

    @Test func `the mean box of a name is a poor guess`() {
        func overlap(_ a: BoundingBox, _ b: BoundingBox) -> Double {
            let width = max(0, min(a.xMax, b.xMax) - max(a.xMin, b.xMin))
            let height = max(0, min(a.yMax, b.yMax) - max(a.yMin, b.yMin))
            return width * height / (a.area + b.area - width * height)
        }
        let samples = sharedSamples.filter { $0.task == .referringExpressionComprehension }
        var boxes: [String: [BoundingBox]] = [:]
        for sample in samples where sample.split == .train {
            if let name = sample.objectName, let box = sample.box { boxes[name, default: []].append(box) }
        }
        let means = boxes.mapValues { list in
            let count = Double(list.count)
            return BoundingBox(
                xMin: list.reduce(0) { $0 + $1.xMin } / count,
                yMin: list.reduce(0) { $0 + $1.yMin } / count,
                xMax: list.reduce(0) { $0 + $1.xMax } / count,
                yMax: list.reduce(0) { $0 + $1.yMax } / count
            )
        }
        var scores: [Double] = []
        for sample in samples where sample.split == .validation {
            guard let mean = means[sample.objectName ?? ""], let box = sample.box else { continue }
            scores.append(overlap(mean, box))
        }
        #expect(scores.count > 200)
        #expect(scores.reduce(0, +) / Double(scores.count) < 0.3)
    }

    @Test func `single kinds can be chosen and pictures be of any size`() {
        for kind in PhantomKind.allCases {
            for side in [64, 130] {
                let configuration = PhantomConfiguration(side: side, trainCount: 4, validationCount: 1, kinds: [kind])
                let generator = PhantomGenerator(seed: 8, configuration: configuration)
                for index in 0..<generator.count {
                    let study = generator.study(at: index)
                    #expect(study.kind == kind)
                    #expect(study.image.width == side && study.image.height == side)
                    let levels = Set(study.image.pixels)
                    #expect(levels.count > 60)
                }
            }
        }
    }
}
