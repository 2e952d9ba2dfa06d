// A certificate of the test's own.
#ifndef DUET_TESTS_INTEGRATION_GATEWAY_TLS_IDENTITY_H_
#define DUET_TESTS_INTEGRATION_GATEWAY_TLS_IDENTITY_H_

#include <string>

namespace duet_testing {

struct TlsIdentity {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

// Self-signed for 127.0.0.1, valid for an hour.
TlsIdentity MakeTlsIdentity();

}  // namespace duet_testing

#endif  // DUET_TESTS_INTEGRATION_GATEWAY_TLS_IDENTITY_H_
