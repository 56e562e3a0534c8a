public import UniMedData

/// Colours that people with any colour vision tell apart (Okabe and Ito, 2008).
public enum Palette {
    /// Orange, sky blue, bluish green, blue, vermilion, reddish purple and yellow, as `#RRGGBB`.
    public static let colors = ["#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#F0E442"]

    /// What the model says: values and boxes.
    public static let prediction = "#E69F00"
    /// What is true, or compared with.
    public static let reference = "#56B4E9"

    /// The colour of a task.
    public static func color(of task: MedicalTask) -> String {
        switch task {
        case .questionAnswering: "#56B4E9"
        case .visualQuestionAnswering: "#0072B2"
        case .reportGeneration: "#009E73"
        case .referringExpressionComprehension: "#D55E00"
        case .referringExpressionGeneration: "#E69F00"
        case .imageClassification: "#CC79A7"
        }
    }

    /// A colour for the series of a number.
    static func color(_ index: Int) -> String { colors[index % colors.count] }

    /// Stands for the page's text colour while gnuplot draws; replaced afterwards, so that plots follow light and dark.
    static let ink = "#010203"
}
