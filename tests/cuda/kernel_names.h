// The names of the kernels in a folder of sources, and which of them were launched.
#pragma once

#include <set>
#include <string>

namespace fjord {

/// Every name that follows __global__ in the .cu and .h files of a folder.
std::set<std::string> kernels_in(const std::string& folder);

/// A launched kernel's name without namespaces and template arguments: "ns::scale<float, 4>" ->
/// "scale".
std::string base_name(const std::string& launched);

/// Of `names` those that no launch of the emulation has had so far.
std::set<std::string> never_launched(const std::set<std::string>& names);

}  // namespace fjord
