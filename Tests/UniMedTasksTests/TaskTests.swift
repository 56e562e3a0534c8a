import Testing
import UniMedData
import UniMedMetrics
import UniMedTasks

@Suite("Instruction templates")
struct InstructionTemplateTests {
    private func instructions(_ sample: Sample) throws -> Set<String> {
        let definition = TaskRegistry.definition(of: sample.task)
        return Set(try (0..<300).map { try definition.instruction(for: sample, templateSeed: $0) })
    }

    @Test func `referring expressions name the object as the paper does`() throws {
        let drawn = try instructions(Samples.sample(.referringExpressionComprehension))
        #expect(
            drawn == [
                "[refer] Liver.", "[refer] Give me the location of liver.", "[refer] Where is liver?",
                "[refer] From this image, tell me the location of liver.", "[refer] The location of liver is",
                "[refer] Could you tell me the location for liver?", "[refer] Where can I locate the liver?",
            ]
        )
    }

    @Test func `abbreviations keep their capitals`() throws {
        var sample = Samples.sample(.referringExpressionComprehension)
        sample.objectName = "WBC"
        #expect(try instructions(sample).contains("[refer] Where is WBC?"))
        var question = Samples.sample(.visualQuestionAnswering)
        question.question = "CT or MR?"
        #expect(
            try instructions(question)
                == [
                    "[vqa] CT or MR?",
                    "[vqa] Based on the image, respond to this question with a short answer: CT or MR?",
                ]
        )
    }

    @Test func `data sets have pools of their own`() throws {
        let pubmed = try instructions(Samples.sample(.questionAnswering, dataset: "pubmedqa"))
        #expect(
            pubmed.contains(
                "[qa] If you are a doctor, please answer the following question using \"yes\", \"no\" or \"maybe\": "
                    + "does it grow?"
            )
        )
        let medqa = try instructions(Samples.sample(.questionAnswering, dataset: "medqa"))
        #expect(
            medqa == [
                "[qa] Does it grow?",
                "[qa] If you are a doctor, please answer the following question briefly: does it grow?",
            ]
        )
        let chest = try instructions(Samples.sample(.reportGeneration, dataset: "MIMIC-CXR"))
        #expect(chest.contains("[caption] What are the key findings in this chest x-ray image?"))
        #expect(chest.count == 5)
        #expect(try instructions(Samples.sample(.reportGeneration, dataset: "medpix")).count == 10)
    }

    @Test func `boxes stand in braces, in hundredths of the image`() throws {
        let drawn = try instructions(Samples.sample(.referringExpressionGeneration))
        #expect(drawn.contains("[identify] What is it in {<10><25><50><75>}?"))
        #expect(drawn.count == 7)
    }

    @Test func `classes are listed in words`() throws {
        var sample = Samples.sample(.imageClassification)
        #expect(
            try instructions(sample) == ["[cls] Which category does this image belong to: Left lung, Liver, or Spleen?"]
        )
        sample.dataset = "organsmnist"
        #expect(
            try instructions(sample)
                == ["[cls] Which category does this CT image belong to: Left lung, Liver, or Spleen?"]
        )
        sample.choices = ["CT", "MR"]
        sample.dataset = "medpix"
        #expect(try instructions(sample) == ["[cls] Which category does this image belong to: CT or MR?"])
        sample.question = "CT or MR?"
        #expect(try instructions(sample) == ["[cls] CT or MR?"])
    }

    @Test func `braces in a question are not places`() throws {
        var sample = Samples.sample(.visualQuestionAnswering)
        sample.question = "{box} of {name}?"
        #expect(try instructions(sample).contains("[vqa] {box} of {name}?"))
    }
}

@Suite("Referring expression comprehension")
struct ReferringExpressionComprehensionTests {
    private let sample = Samples.sample(.referringExpressionComprehension)

    @Test func `the answer may have braces or not, and text around it`() throws {
        let task = ReferringExpressionComprehension()
        for answer in ["{<10><25><50><75>}", "<10><25><50><75>", "It is at <10><25><50><75>."] {
            #expect(try task.score(prediction: answer, for: sample).primaryValue == 1, "\(answer)")
        }
        let strict = ReferringExpressionComprehension(search: .publishedCode)
        #expect(try strict.score(prediction: "<10><25><50><75>", for: sample).isParsed == false)
    }

    @Test func `a predicted box without area scores 0 and is parsed`() throws {
        let score = try ReferringExpressionComprehension().score(prediction: "{<50><25><10><75>}", for: sample)
        #expect(score.isParsed)
        #expect(score.values.values.allSatisfy { $0 == 0 })
    }

    @Test func `the two readings of one half differ`() throws {
        // Half the box: the ratio of areas is exactly 0.5; the added pixel lifts the published one above it.
        let score = try ReferringExpressionComprehension().score(prediction: "{<10><25><30><75>}", for: sample)
        #expect(score.values[.paperIntersectionOverUnion] == 0.5)
        #expect(score.values[.paperRecallAtHalf] == 1)
        #expect(score.values[.intersectionOverUnion] == 41.0 * 51 / (81 * 51))
        #expect(score.values[.recallAboveHalf] == 1)
    }

    @Test func `a box that is not one of its image is refused`() {
        var sample = sample
        let line = BoundingBox(xMin: 5, yMin: 5, xMax: 5, yMax: 9)
        for box in [line, BoundingBox(xMin: 0, yMin: 0, xMax: .infinity, yMax: 1)] {
            sample.box = box
            #expect(throws: TaskError.invalidBox(box: box, dataset: "phantoms", sampleID: "1")) {
                _ = try ReferringExpressionComprehension().target(for: sample)
            }
        }
    }
}

@Suite("Classification and choices")
struct ChoiceTests {
    @Test func `an answer outside the classes is unparsed and wrong`() throws {
        let score = try ImageClassification().score(prediction: "kidney", for: Samples.sample(.imageClassification))
        #expect(!score.isParsed)
        #expect(score.primaryValue == 0)
    }

    @Test func `a choice is recognised whatever its case and marks`() {
        let sample = Samples.sample(.imageClassification)
        #expect(ImageClassification().parse("  left lung. ", for: sample) == .text("Left lung"))
    }

    @Test func `open questions have no closed accuracy`() throws {
        var sample = Samples.sample(.visualQuestionAnswering)
        sample.choices = nil
        let score = try VisualQuestionAnswering().score(prediction: "the left lung", for: sample)
        #expect(score.values[.closedAccuracy] == nil)
        #expect(score.values[.accuracy] == 1)
    }
}

@Suite("Report generation")
struct ReportGenerationTests {
    @Test func `references are cut at 50 words`() throws {
        let long = (0..<80).map { "word\($0)" }.joined(separator: " ")
        let target = try ReportGeneration().target(for: Samples.sample(.reportGeneration, answer: long))
        #expect(target.split(separator: " ").count == 50)
        let score = try ReportGeneration().score(
            prediction: target,
            for: Samples.sample(.reportGeneration, answer: long)
        )
        #expect(abs(score.primaryValue - 1) < 1e-12)
    }
}
