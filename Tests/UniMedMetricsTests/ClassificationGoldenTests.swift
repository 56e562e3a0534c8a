import Foundation
import Testing
import UniMedMetrics

private let path = "eval/cls_metrics/cases.json"

private struct Fixture: Decodable {
    struct Case: Decodable {
        var answer_gt: String
        var model_output: String
        var answer_pred: String
        var gt_index: Int
        var pred_normalized: String
        var pred_index: Int
    }

    struct PerClass: Decodable {
        var precision: [Double]
        var recall: [Double]
        var f1: [Double]
        var support: [Int]
    }

    struct DataSet: Decodable {
        var labels: [String]
        var labels_normalized: [String]
        var cases: [Case]
        var accuracy: Double
        var confusion_matrix_rows_gt_cols_pred_last_col_out_of_vocabulary: [[Int]]
        var out_of_vocabulary_count: Int
        var per_class: PerClass
        var macro_f1: Double
        var balanced_accuracy: Double
    }

    var derma: DataSet
    var organs: DataSet
}

@Suite("Classification against the reference", .enabled(if: Golden.has(path), "no golden files under UNIMED_GOLDEN"))
struct ClassificationGoldenTests {
    @Test func `accuracy, confusion matrix and the scores of each class are the reference's`() throws {
        let fixture = try Golden.decode(Fixture.self, from: path)
        for set in [fixture.derma, fixture.organs] {
            #expect(set.labels.map { WordNormalizer.normalize($0) } == set.labels_normalized)
            for item in set.cases {
                #expect(
                    WordNormalizer.normalize(WordNormalizer.cleanedPrediction(item.model_output))
                        == item.pred_normalized
                )
                let isMatch = ExactMatch.isMatch(item.model_output, reference: item.answer_gt)
                #expect(isMatch == (item.gt_index == item.pred_index))
            }
            let matrix = try ConfusionMatrix(
                labels: set.labels,
                predictions: set.cases.map(\.model_output),
                references: set.cases.map(\.answer_gt)
            )
            #expect(matrix.counts == set.confusion_matrix_rows_gt_cols_pred_last_col_out_of_vocabulary)
            #expect(matrix.outOfVocabularyCount == set.out_of_vocabulary_count)
            #expect(matrix.support == set.per_class.support)
            #expect(agree(matrix.accuracy, set.accuracy))
            #expect(agree(matrix.macroF1, set.macro_f1))
            #expect(agree(matrix.balancedAccuracy, set.balanced_accuracy))
            #expect(zip(matrix.precision, set.per_class.precision).allSatisfy(agree))
            #expect(zip(matrix.recall, set.per_class.recall).allSatisfy(agree))
            #expect(zip(matrix.f1, set.per_class.f1).allSatisfy(agree))
        }
    }
}
