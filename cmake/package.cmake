# The Debian package (built by scripts/release.sh): programs, systemd unit, account and settings of
# the service, files for Prometheus and Grafana, documents.
install(TARGETS dqueue dqueue-cli dqueue-worker dqueue-bench dqueue-chaos RUNTIME DESTINATION bin)
install(FILES deploy/systemd/dqueue.service DESTINATION lib/systemd/system)
install(FILES deploy/systemd/dqueue.sysusers DESTINATION lib/sysusers.d RENAME dqueue.conf)
install(FILES deploy/systemd/dqueue.env DESTINATION /etc/dqueue PERMISSIONS OWNER_READ OWNER_WRITE)
install(DIRECTORY deploy/prometheus deploy/grafana DESTINATION share/dqueue
        PATTERN README.md EXCLUDE)
install(DIRECTORY docs DESTINATION share/doc/dqueue FILES_MATCHING PATTERN "*.md" PATTERN "*.yaml")
install(FILES README.md SECURITY.md DESTINATION share/doc/dqueue)
install(FILES LICENSE DESTINATION share/doc/dqueue RENAME copyright)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME dqueue)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The dqueue maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "replicated job queue that loses no job that it acknowledged")
set(CPACK_PACKAGE_DESCRIPTION "Three machines run one program each: consensus, log, queue, API and dashboard in one.\n\
Producers enqueue over gRPC or HTTP. Workers lease jobs and complete them. A job whose worker dies is delivered again.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES TRUE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS TRUE)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/deploy/debian/conffiles
    ${PROJECT_SOURCE_DIR}/deploy/debian/postinst ${PROJECT_SOURCE_DIR}/deploy/debian/prerm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION TRUE)
include(CPack)
