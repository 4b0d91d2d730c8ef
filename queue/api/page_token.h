// Page tokens of listings that are ordered by name: a page begins behind the name of the token,
// whatever has become of that name meanwhile.
#pragma once

#include <string>
#include <string_view>

namespace dqueue::queue {

// For a page that ends with this name: a checksum in 16 hexadecimal digits, and the name.
std::string MakeNamePageToken(std::string_view last);
// False if the token is not one of ours.
bool ParseNamePageToken(std::string_view token, std::string* last);

}  // namespace dqueue::queue
