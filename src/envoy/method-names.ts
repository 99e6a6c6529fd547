export const authorizationServiceName = 'envoy.service.auth.v3.Authorization';
export const checkPath = `/${authorizationServiceName}/Check`;
