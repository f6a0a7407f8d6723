#!/bin/bash
# A function for the tests of the Runtime API: it does what its event says.
exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API#*:}"
base=/2018-06-01/runtime

receive() {
    local line length=0
    while IFS= read -r line <&3; line=${line%$'\r'}; [ -n "$line" ]; do
        case $line in
        lambda-runtime-aws-request-id:*) id=${line#*: } ;;
        lambda-runtime-deadline-ms:*) deadline=${line#*: } ;;
        content-length:*) length=${line#*: } ;;
        esac
    done
    IFS= read -r -N "$length" body <&3
}

post() {
    printf 'POST %s HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s' "$base/$1" "${#2}" "$2" >&3
    receive
}

if [ -n "$BROKEN" ]; then
    post init/error '{"errorType":"Config","errorMessage":"no DATABASE_URL"}'
    exit 1
fi

echo "started as $AWS_LAMBDA_FUNCTION_NAME"
while :; do
    printf 'GET %s HTTP/1.1\r\n\r\n' "$base/invocation/next" >&3
    receive
    echo "got $body" >&2
    case $body in
    '"hang"') while :; do :; done ;;
    '"die"') exit 3 ;;
    '"fail"') post "invocation/$id/error" '{"errorType":"Bad","errorMessage":"no luck","stackTrace":[]}' ;;
    '"garbage"') post "invocation/$id/response" 'not json' ;;
    '"variables"') post "invocation/$id/response" "\"$GREETING $HOME $AWS_REGION\"" ;;
    '"deadline"') post "invocation/$id/response" "$deadline" ;;
    *) post "invocation/$id/response" "$body" ;;
    esac
done
