// The two tables of a run.
#include "tools/csv.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>

#include "kernels/error.h"
#include "tools/files.h"
#include "tools/log.h"

namespace fjord {

namespace {

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line)
    if (c == ',')
      cells.emplace_back();
    else
      cells.back() += c;
  return cells;
}

template <class T>
T number(const std::string& text) {
  T value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::optional<double> optional_number(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(number<double>(text));
}

std::string cell(const std::optional<double>& value) {
  return value ? fmt::format("{:.6g}", *value) : "";
}

std::size_t column(const std::vector<std::string>& header, const std::string& name) {
  for (std::size_t i = 0; i < header.size(); ++i)
    if (header[i] == name) return i;
  return header.size();
}

// Rows with as many cells as the header: a row cut short by a kill is left out.
std::vector<std::vector<std::string>> read_rows(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line) && !file.eof();)
    if (rows.empty() || cells_of(line).size() == rows[0].size()) rows.push_back(cells_of(line));
  return rows;
}

std::string kept_text(const std::filesystem::path& path, const std::string& header,
                      std::int64_t last_step) {
  std::string text = header + "\n";
  const auto rows = read_rows(path);
  for (std::size_t i = 1; i < rows.size(); ++i)
    if (number<std::int64_t>(rows[i][column(rows[0], "step")]) <= last_step)
      text += fmt::format("{}\n", fmt::join(rows[i], ","));
  return text;
}

}  // namespace

CsvFile::CsvFile(const std::filesystem::path& path, std::string header,
                 std::optional<std::int64_t> last_step)
    : path_(path), file_(nullptr, std::fclose) {
  write_file_atomically(path, last_step ? kept_text(path, header, *last_step) : header + "\n");
  file_.reset(std::fopen(path.c_str(), "ae"));
  if (!file_)
    throw Error(ExitCode::io, "io", printable(path.string()), std::strerror(errno),
                "choose a folder that can be written with --out");
}

void CsvFile::append(const std::string& row) {
  if (!file_) return;
  if (std::fputs((row + "\n").c_str(), file_.get()) != EOF && std::fflush(file_.get()) == 0) return;
  warn("{} cannot be written ({}); training goes on without it", path_.filename().string(),
       std::strerror(errno));
  file_.reset();
}

std::string metrics_header(const std::vector<std::string>& class_names) {
  std::string text = "epoch,step,lr,train_loss,val_loss";
  for (const std::string& name : class_names) {
    std::string safe = printable(name);
    for (char& c : safe)
      if (c == ',' || c == '"' || c == ' ') c = '_';
    text += ",val_iou_" + safe;
  }
  return text + ",val_miou,val_accuracy,seconds,images_per_s,peak_memory_mib";
}

std::string metrics_row(const EpochRow& row) {
  std::string text = fmt::format("{},{},{:.9g},{:.9g},{:.9g}", row.epoch, row.step, row.lr,
                                 row.train_loss, row.val_loss);
  for (const auto& iou : row.val_iou) text += "," + cell(iou);
  return text + fmt::format(",{},{},{:.3f},{:.2f},{:.0f}", cell(row.val_miou),
                            cell(row.val_accuracy), row.seconds, row.images_per_s,
                            row.peak_memory_mib);
}

std::string steps_header() { return "step,epoch,lr,loss,grad_norm,images_per_s"; }

std::string steps_row(const StepRow& row) {
  return fmt::format("{},{},{:.9g},{:.9g},{:.9g},{:.2f}", row.step, row.epoch, row.lr, row.loss,
                     row.grad_norm, row.images_per_s);
}

std::vector<EpochRow> read_metrics(const std::filesystem::path& path) {
  const auto rows = read_rows(path);
  std::vector<EpochRow> list;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const auto& header = rows[0];
    auto at = [&](const std::string& name) { return rows[i].at(column(header, name)); };
    EpochRow row{.epoch = number<std::int64_t>(at("epoch")),
                 .step = number<std::int64_t>(at("step")),
                 .lr = number<double>(at("lr")),
                 .train_loss = number<double>(at("train_loss")),
                 .val_loss = number<double>(at("val_loss")),
                 .val_iou = {},
                 .val_miou = optional_number(at("val_miou")),
                 .val_accuracy = optional_number(at("val_accuracy")),
                 .seconds = number<double>(at("seconds")),
                 .images_per_s = number<double>(at("images_per_s")),
                 .peak_memory_mib = number<double>(at("peak_memory_mib"))};
    for (std::size_t c = 0; c < header.size(); ++c)
      if (header[c].starts_with("val_iou_")) row.val_iou.push_back(optional_number(rows[i][c]));
    list.push_back(std::move(row));
  }
  return list;
}

std::vector<StepRow> read_steps(const std::filesystem::path& path) {
  const auto rows = read_rows(path);
  std::vector<StepRow> list;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const auto& cells = rows[i];
    list.push_back({number<std::int64_t>(cells[0]), number<std::int64_t>(cells[1]),
                    number<double>(cells[2]), number<double>(cells[3]), number<double>(cells[4]),
                    number<double>(cells[5])});
  }
  return list;
}

}  // namespace fjord
