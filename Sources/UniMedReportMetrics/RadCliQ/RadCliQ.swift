public import Foundation
import UniMedMetrics

/// RadCliQ: an estimate of how many errors a radiologist would find in a report, out of four metrics.
///
/// "Evaluating progress in automatic chest X-ray radiology report generation" (Yu et al., 2023): a linear function of
/// RadGraph F1, BERTScore, CheXbert similarity and BLEU-2, each less its mean and divided by its deviation. Lower is
/// better.
public struct RadCliQ: Sendable, Equatable, Codable {
    /// The four metrics of a pair of reports, in the order of the published files.
    public struct Input: Sendable, Equatable, Codable {
        /// ``RadGraphF1/combined``.
        public var radGraphF1: Double
        /// BERTScore's F1 with `distilroberta-base`, rescaled.
        public var bertScore: Double
        /// The cosine of CheXbert's vectors.
        public var chexbertSimilarity: Double
        /// ``RadCliQ/bleu2(prediction:reference:)``.
        public var bleu2: Double

        /// Makes an input.
        public init(radGraphF1: Double, bertScore: Double, chexbertSimilarity: Double, bleu2: Double) {
            self.radGraphF1 = radGraphF1
            self.bertScore = bertScore
            self.chexbertSimilarity = chexbertSimilarity
            self.bleu2 = bleu2
        }

        fileprivate var values: [Double] { [radGraphF1, bertScore, chexbertSimilarity, bleu2] }
    }

    /// What is subtracted from each metric.
    public let means: [Double]
    /// What the difference is divided by.
    public let deviations: [Double]
    /// What the quotient is multiplied by.
    public let coefficients: [Double]
    /// What is added to the sum.
    public let intercept: Double

    private enum CodingKeys: String, CodingKey {
        case means, deviations, coefficients, intercept
    }

    /// RadCliQ-v0, with the numbers of the published `composite_metric_model.pkl` and `normalizer.pkl`.
    public static let v0 = RadCliQ(
        checkedMeans: [0.5398376019082272, 0.6312549595000001, 0.7716797866672277, 0.4607372064809605],
        deviations: [0.3018344440559102, 0.22466950746141123, 0.24750333805236252, 0.30336670936092264],
        coefficients: [-0.4796252644863446, -0.6762170542369337, -0.46366575161751994, 0.2165861905287535],
        intercept: 1.641666666666666
    )

    /// RadCliQ-v1, with the numbers of the published `radcliq-v1.pkl`, in which BLEU-2 has next to no weight.
    public static let v1 = RadCliQ(
        checkedMeans: [0.5379231241355762, 0.6175725628125001, 0.7647942121140658, 0.44738335396242174],
        deviations: [0.3028258411486429, 0.22430938459304575, 0.2539439110169773, 0.2989271671041838],
        coefficients: [-0.37708368261038905, -0.37030009974480316, -0.25261621789593225, 4.315048405024756e-12],
        intercept: 2.466552561323256e-10
    )

    private init(checkedMeans means: [Double], deviations: [Double], coefficients: [Double], intercept: Double) {
        self.means = means
        self.deviations = deviations
        self.coefficients = coefficients
        self.intercept = intercept
    }

    /// Makes a function from its numbers, each list in the order of ``Input``.
    ///
    /// - Throws: ``ReportMetricError`` of kind `invalidInput` unless there are four of each and deviations are positive.
    public init(
        means: [Double],
        deviations: [Double],
        coefficients: [Double],
        intercept: Double
    ) throws(ReportMetricError) {
        guard [means.count, deviations.count, coefficients.count] == [4, 4, 4], deviations.allSatisfy({ $0 > 0 }),
            (means + deviations + coefficients + [intercept]).allSatisfy(\.isFinite)
        else {
            throw ReportMetricError(
                .invalidInput,
                "RadCliQ needs four means, four positive deviations and four coefficients"
            )
        }
        self.init(checkedMeans: means, deviations: deviations, coefficients: coefficients, intercept: intercept)
    }

    /// Reads numbers from a JSON file: `means`, `deviations` and `coefficients`, four of each, and `intercept`.
    ///
    /// - Throws: ``ReportMetricError`` of kind `unreadable` or `malformed`.
    public init(contentsOf file: URL) throws(ReportMetricError) {
        let read: RadCliQ
        do {
            read = try JSONDecoder().decode(RadCliQ.self, from: Data(contentsOf: file))
        } catch let error as DecodingError {
            throw ReportMetricError(.malformed, file: file.path, "no numbers of RadCliQ: \(error.place)")
        } catch {
            throw ReportMetricError(.unreadable, file: file.path, error.localizedDescription)
        }
        do throws(ReportMetricError) {
            try self.init(
                means: read.means,
                deviations: read.deviations,
                coefficients: read.coefficients,
                intercept: read.intercept
            )
        } catch {
            throw ReportMetricError(.malformed, file: file.path, error.problem)
        }
    }

    /// The estimate for a pair of reports.
    public func score(_ input: Input) -> Double {
        var sum = intercept
        for (index, value) in input.values.enumerated() {
            sum += coefficients[index] * (value - means[index]) / deviations[index]
        }
        return sum
    }

    /// BLEU-2 as RadCliQ takes it (fast-bleu 0.0.90).
    ///
    /// Words are what stands between spaces of the texts in lower case, points set apart. Where no pair of words matches,
    /// a tenth of one counts as matching; it is 0 when no word matches.
    public static func bleu2(prediction: String, reference: String) -> Double {
        let (candidate, truth) = (bleuWords(of: prediction), bleuWords(of: reference))
        let single = BLEU.clippedPrecision(candidate, reference: truth, order: 1)
        guard single.matches > 0 else { return 0 }
        let double = BLEU.clippedPrecision(candidate, reference: truth, order: 2)
        let share = (double.matches > 0 ? Double(double.matches) : 0.1) / Double(max(double.total, 1))
        let brevity = candidate.count > truth.count ? 1 : exp(1 - Double(truth.count) / Double(candidate.count))
        return brevity * (single.value * share).squareRoot()
    }

    private static func bleuWords(of report: String) -> [String] {
        var spaced = String.UnicodeScalarView()
        for scalar in report.referenceLowercased.unicodeScalars {
            if scalar == "." { spaced.append(" ") }
            spaced.append(scalar)
        }
        return spaced.split(separator: " ").map { String($0) }
    }
}
