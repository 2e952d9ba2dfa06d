// Certificates of the tests' own authorities, made when they are needed.
#ifndef DUET_TESTS_TESTING_CERTIFICATES_H_
#define DUET_TESTS_TESTING_CERTIFICATES_H_

#include <memory>
#include <string>

namespace duet_testing {

struct Identity {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

class Authority {
 public:
  explicit Authority(const std::string& name = "an authority of tests");
  ~Authority();

  // Its own certificate, PEM: what those who trust it are given.
  const std::string& certificate() const { return certificate_; }

  // A certificate for `names` as OpenSSL writes them ("IP:127.0.0.1,DNS:detector"), valid from a
  // day ago until in `valid_s` seconds, which may be past.
  Identity Issue(const std::string& names = "IP:127.0.0.1", long valid_s = 3600) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string certificate_;
};

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_CERTIFICATES_H_
