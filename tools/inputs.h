// The images that a command line names: files, folders, patterns.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace fjord {

/// Every image, folders and patterns sorted by bytes. Throws Error{dataset} for a name that leads
/// to none, Error{usage} for two images of one stem, whose results would have one name.
std::vector<std::filesystem::path> find_images(const std::vector<std::string>& names);

/// Throws Error{usage} when files written to that folder could replace one of the images or, in a
/// data set, one of their labels.
void refuse_folder_of(const std::vector<std::filesystem::path>& images,
                      const std::filesystem::path& output);

}  // namespace fjord
